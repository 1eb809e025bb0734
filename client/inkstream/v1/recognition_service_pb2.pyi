from inkstream.v1 import error_pb2 as _error_pb2
from inkstream.v1 import ink_pb2 as _ink_pb2
from inkstream.v1 import model_pb2 as _model_pb2
from inkstream.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StreamRecognizeRequest(_message.Message):
    __slots__ = ("config", "tensors", "ink")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    INK_FIELD_NUMBER: _ClassVar[int]
    config: StreamConfig
    tensors: _tensor_pb2.Tensors
    ink: _ink_pb2.InkEvents
    def __init__(self, config: _Optional[_Union[StreamConfig, _Mapping]] = ..., tensors: _Optional[_Union[_tensor_pb2.Tensors, _Mapping]] = ..., ink: _Optional[_Union[_ink_pb2.InkEvents, _Mapping]] = ...) -> None: ...

class StreamConfig(_message.Message):
    __slots__ = ("model", "answers", "client_label")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_LABEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    answers: _tensor_pb2.AnswerOptions
    client_label: str
    def __init__(self, model: _Optional[str] = ..., answers: _Optional[_Union[_tensor_pb2.AnswerOptions, _Mapping]] = ..., client_label: _Optional[str] = ...) -> None: ...

class StreamRecognizeResponse(_message.Message):
    __slots__ = ("opened", "tensors", "glyphs", "errors", "draining")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    GLYPHS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    opened: StreamOpened
    tensors: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorResults]
    glyphs: _containers.RepeatedCompositeFieldContainer[_ink_pb2.GlyphResult]
    errors: _containers.RepeatedCompositeFieldContainer[_error_pb2.ItemError]
    draining: Draining
    def __init__(self, opened: _Optional[_Union[StreamOpened, _Mapping]] = ..., tensors: _Optional[_Iterable[_Union[_tensor_pb2.TensorResults, _Mapping]]] = ..., glyphs: _Optional[_Iterable[_Union[_ink_pb2.GlyphResult, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[_error_pb2.ItemError, _Mapping]]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ...) -> None: ...

class StreamOpened(_message.Message):
    __slots__ = ("model", "window", "max_frames_per_message")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAMES_PER_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    model: _model_pb2.Model
    window: int
    max_frames_per_message: int
    def __init__(self, model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ..., window: _Optional[int] = ..., max_frames_per_message: _Optional[int] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("grace_ms",)
    GRACE_MS_FIELD_NUMBER: _ClassVar[int]
    grace_ms: int
    def __init__(self, grace_ms: _Optional[int] = ...) -> None: ...

class RecognizeRequest(_message.Message):
    __slots__ = ("model", "answers", "tensors", "ink")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    INK_FIELD_NUMBER: _ClassVar[int]
    model: str
    answers: _tensor_pb2.AnswerOptions
    tensors: _tensor_pb2.Tensors
    ink: _ink_pb2.Ink
    def __init__(self, model: _Optional[str] = ..., answers: _Optional[_Union[_tensor_pb2.AnswerOptions, _Mapping]] = ..., tensors: _Optional[_Union[_tensor_pb2.Tensors, _Mapping]] = ..., ink: _Optional[_Union[_ink_pb2.Ink, _Mapping]] = ...) -> None: ...

class RecognizeResponse(_message.Message):
    __slots__ = ("tensors", "glyph", "errors")
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    GLYPH_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    tensors: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.TensorResults]
    glyph: _ink_pb2.GlyphResult
    errors: _containers.RepeatedCompositeFieldContainer[_error_pb2.ItemError]
    def __init__(self, tensors: _Optional[_Iterable[_Union[_tensor_pb2.TensorResults, _Mapping]]] = ..., glyph: _Optional[_Union[_ink_pb2.GlyphResult, _Mapping]] = ..., errors: _Optional[_Iterable[_Union[_error_pb2.ItemError, _Mapping]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: _model_pb2.Model
    def __init__(self, model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ...) -> None: ...
