from inkstream.v1 import error_pb2 as _error_pb2
from inkstream.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Unit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_UNSPECIFIED: _ClassVar[Unit]
    UNIT_PIXEL: _ClassVar[Unit]
    UNIT_MILLIMETRE: _ClassVar[Unit]

class YDirection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    Y_DIRECTION_UNSPECIFIED: _ClassVar[YDirection]
    Y_DIRECTION_DOWN: _ClassVar[YDirection]
    Y_DIRECTION_UP: _ClassVar[YDirection]

class GlyphState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GLYPH_STATE_UNSPECIFIED: _ClassVar[GlyphState]
    GLYPH_STATE_INTERIM: _ClassVar[GlyphState]
    GLYPH_STATE_PROVISIONAL: _ClassVar[GlyphState]
    GLYPH_STATE_FINAL: _ClassVar[GlyphState]
UNIT_UNSPECIFIED: Unit
UNIT_PIXEL: Unit
UNIT_MILLIMETRE: Unit
Y_DIRECTION_UNSPECIFIED: YDirection
Y_DIRECTION_DOWN: YDirection
Y_DIRECTION_UP: YDirection
GLYPH_STATE_UNSPECIFIED: GlyphState
GLYPH_STATE_INTERIM: GlyphState
GLYPH_STATE_PROVISIONAL: GlyphState
GLYPH_STATE_FINAL: GlyphState

class InkEvents(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[InkEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[InkEvent, _Mapping]]] = ...) -> None: ...

class InkEvent(_message.Message):
    __slots__ = ("pen", "open", "stroke_begin", "points", "stroke_end", "stroke_remove", "glyph_end", "clear", "close")
    PEN_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    STROKE_BEGIN_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    STROKE_END_FIELD_NUMBER: _ClassVar[int]
    STROKE_REMOVE_FIELD_NUMBER: _ClassVar[int]
    GLYPH_END_FIELD_NUMBER: _ClassVar[int]
    CLEAR_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    pen: int
    open: PenOpen
    stroke_begin: StrokeBegin
    points: Points
    stroke_end: StrokeEnd
    stroke_remove: StrokeRemove
    glyph_end: GlyphEnd
    clear: Clear
    close: PenClose
    def __init__(self, pen: _Optional[int] = ..., open: _Optional[_Union[PenOpen, _Mapping]] = ..., stroke_begin: _Optional[_Union[StrokeBegin, _Mapping]] = ..., points: _Optional[_Union[Points, _Mapping]] = ..., stroke_end: _Optional[_Union[StrokeEnd, _Mapping]] = ..., stroke_remove: _Optional[_Union[StrokeRemove, _Mapping]] = ..., glyph_end: _Optional[_Union[GlyphEnd, _Mapping]] = ..., clear: _Optional[_Union[Clear, _Mapping]] = ..., close: _Optional[_Union[PenClose, _Mapping]] = ...) -> None: ...

class PenOpen(_message.Message):
    __slots__ = ("unit", "counts_per_unit", "y_direction", "area", "boxes", "quiet_ms", "short_quiet_ms", "interims_per_second", "answers")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    COUNTS_PER_UNIT_FIELD_NUMBER: _ClassVar[int]
    Y_DIRECTION_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    QUIET_MS_FIELD_NUMBER: _ClassVar[int]
    SHORT_QUIET_MS_FIELD_NUMBER: _ClassVar[int]
    INTERIMS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    unit: Unit
    counts_per_unit: float
    y_direction: YDirection
    area: Area
    boxes: _containers.RepeatedCompositeFieldContainer[Box]
    quiet_ms: int
    short_quiet_ms: int
    interims_per_second: int
    answers: _tensor_pb2.AnswerOptions
    def __init__(self, unit: _Optional[_Union[Unit, str]] = ..., counts_per_unit: _Optional[float] = ..., y_direction: _Optional[_Union[YDirection, str]] = ..., area: _Optional[_Union[Area, _Mapping]] = ..., boxes: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., quiet_ms: _Optional[int] = ..., short_quiet_ms: _Optional[int] = ..., interims_per_second: _Optional[int] = ..., answers: _Optional[_Union[_tensor_pb2.AnswerOptions, _Mapping]] = ...) -> None: ...

class Area(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    width: float
    height: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("box", "area")
    BOX_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    box: int
    area: Area
    def __init__(self, box: _Optional[int] = ..., area: _Optional[_Union[Area, _Mapping]] = ...) -> None: ...

class StrokeBegin(_message.Message):
    __slots__ = ("stroke", "time_ms")
    STROKE_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    stroke: int
    time_ms: int
    def __init__(self, stroke: _Optional[int] = ..., time_ms: _Optional[int] = ...) -> None: ...

class Points(_message.Message):
    __slots__ = ("dx", "dy", "dt_ms", "pressure")
    DX_FIELD_NUMBER: _ClassVar[int]
    DY_FIELD_NUMBER: _ClassVar[int]
    DT_MS_FIELD_NUMBER: _ClassVar[int]
    PRESSURE_FIELD_NUMBER: _ClassVar[int]
    dx: _containers.RepeatedScalarFieldContainer[int]
    dy: _containers.RepeatedScalarFieldContainer[int]
    dt_ms: _containers.RepeatedScalarFieldContainer[int]
    pressure: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, dx: _Optional[_Iterable[int]] = ..., dy: _Optional[_Iterable[int]] = ..., dt_ms: _Optional[_Iterable[int]] = ..., pressure: _Optional[_Iterable[int]] = ...) -> None: ...

class StrokeEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StrokeRemove(_message.Message):
    __slots__ = ("stroke",)
    STROKE_FIELD_NUMBER: _ClassVar[int]
    stroke: int
    def __init__(self, stroke: _Optional[int] = ...) -> None: ...

class GlyphEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Clear(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PenClose(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Ink(_message.Message):
    __slots__ = ("pen", "strokes")
    PEN_FIELD_NUMBER: _ClassVar[int]
    STROKES_FIELD_NUMBER: _ClassVar[int]
    pen: PenOpen
    strokes: _containers.RepeatedCompositeFieldContainer[Points]
    def __init__(self, pen: _Optional[_Union[PenOpen, _Mapping]] = ..., strokes: _Optional[_Iterable[_Union[Points, _Mapping]]] = ...) -> None: ...

class GlyphResult(_message.Message):
    __slots__ = ("pen", "glyph", "revision", "state", "digit", "confidence", "alternatives", "stability", "reject_reason", "strokes", "box", "warnings", "queued_us", "inferred_us", "model_version")
    PEN_FIELD_NUMBER: _ClassVar[int]
    GLYPH_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    STABILITY_FIELD_NUMBER: _ClassVar[int]
    REJECT_REASON_FIELD_NUMBER: _ClassVar[int]
    STROKES_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_US_FIELD_NUMBER: _ClassVar[int]
    INFERRED_US_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    pen: int
    glyph: int
    revision: int
    state: GlyphState
    digit: int
    confidence: float
    alternatives: _containers.RepeatedCompositeFieldContainer[Alternative]
    stability: float
    reject_reason: _error_pb2.RejectReason
    strokes: _containers.RepeatedScalarFieldContainer[int]
    box: int
    warnings: int
    queued_us: int
    inferred_us: int
    model_version: str
    def __init__(self, pen: _Optional[int] = ..., glyph: _Optional[int] = ..., revision: _Optional[int] = ..., state: _Optional[_Union[GlyphState, str]] = ..., digit: _Optional[int] = ..., confidence: _Optional[float] = ..., alternatives: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ..., stability: _Optional[float] = ..., reject_reason: _Optional[_Union[_error_pb2.RejectReason, str]] = ..., strokes: _Optional[_Iterable[int]] = ..., box: _Optional[int] = ..., warnings: _Optional[int] = ..., queued_us: _Optional[int] = ..., inferred_us: _Optional[int] = ..., model_version: _Optional[str] = ...) -> None: ...

class Alternative(_message.Message):
    __slots__ = ("digit", "confidence")
    DIGIT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    digit: int
    confidence: float
    def __init__(self, digit: _Optional[int] = ..., confidence: _Optional[float] = ...) -> None: ...
