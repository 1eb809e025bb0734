from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_CODE_UNSPECIFIED: _ClassVar[ErrorCode]
    ERROR_CODE_INVALID_ARGUMENT: _ClassVar[ErrorCode]
    ERROR_CODE_DEADLINE_EXCEEDED: _ClassVar[ErrorCode]
    ERROR_CODE_RESOURCE_EXHAUSTED: _ClassVar[ErrorCode]
    ERROR_CODE_UNIMPLEMENTED: _ClassVar[ErrorCode]
    ERROR_CODE_INTERNAL: _ClassVar[ErrorCode]
    ERROR_CODE_UNAVAILABLE: _ClassVar[ErrorCode]

class RejectReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJECT_REASON_UNSPECIFIED: _ClassVar[RejectReason]
    REJECT_REASON_NO_INK: _ClassVar[RejectReason]
    REJECT_REASON_NOT_A_DIGIT: _ClassVar[RejectReason]
    REJECT_REASON_UNSURE: _ClassVar[RejectReason]

class Warning(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WARNING_UNSPECIFIED: _ClassVar[Warning]
    WARNING_INVERTED: _ClassVar[Warning]
    WARNING_OFF_CENTRE: _ClassVar[Warning]
    WARNING_TOO_THIN: _ClassVar[Warning]
    WARNING_SCALE: _ClassVar[Warning]
ERROR_CODE_UNSPECIFIED: ErrorCode
ERROR_CODE_INVALID_ARGUMENT: ErrorCode
ERROR_CODE_DEADLINE_EXCEEDED: ErrorCode
ERROR_CODE_RESOURCE_EXHAUSTED: ErrorCode
ERROR_CODE_UNIMPLEMENTED: ErrorCode
ERROR_CODE_INTERNAL: ErrorCode
ERROR_CODE_UNAVAILABLE: ErrorCode
REJECT_REASON_UNSPECIFIED: RejectReason
REJECT_REASON_NO_INK: RejectReason
REJECT_REASON_NOT_A_DIGIT: RejectReason
REJECT_REASON_UNSURE: RejectReason
WARNING_UNSPECIFIED: Warning
WARNING_INVERTED: Warning
WARNING_OFF_CENTRE: Warning
WARNING_TOO_THIN: Warning
WARNING_SCALE: Warning

class ItemError(_message.Message):
    __slots__ = ("sequence", "ink", "code", "message", "field", "retry_after_ms")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INK_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    ink: InkItem
    code: ErrorCode
    message: str
    field: str
    retry_after_ms: int
    def __init__(self, sequence: _Optional[int] = ..., ink: _Optional[_Union[InkItem, _Mapping]] = ..., code: _Optional[_Union[ErrorCode, str]] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class InkItem(_message.Message):
    __slots__ = ("pen", "glyph", "stroke")
    PEN_FIELD_NUMBER: _ClassVar[int]
    GLYPH_FIELD_NUMBER: _ClassVar[int]
    STROKE_FIELD_NUMBER: _ClassVar[int]
    pen: int
    glyph: int
    stroke: int
    def __init__(self, pen: _Optional[int] = ..., glyph: _Optional[int] = ..., stroke: _Optional[int] = ...) -> None: ...
