from inkstream.v1 import error_pb2 as _error_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tensors(_message.Message):
    __slots__ = ("sequences", "uint8", "float32", "deadlines_ms")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    UINT8_FIELD_NUMBER: _ClassVar[int]
    FLOAT32_FIELD_NUMBER: _ClassVar[int]
    DEADLINES_MS_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedScalarFieldContainer[int]
    uint8: bytes
    float32: bytes
    deadlines_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sequences: _Optional[_Iterable[int]] = ..., uint8: _Optional[bytes] = ..., float32: _Optional[bytes] = ..., deadlines_ms: _Optional[_Iterable[int]] = ...) -> None: ...

class AnswerOptions(_message.Message):
    __slots__ = ("top_k", "probabilities", "timings")
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    top_k: int
    probabilities: bool
    timings: bool
    def __init__(self, top_k: _Optional[int] = ..., probabilities: bool = ..., timings: bool = ...) -> None: ...

class TensorResults(_message.Message):
    __slots__ = ("sequences", "digits", "confidences", "top_digits", "top_confidences", "probabilities", "queued_us", "inferred_us", "reject_reasons", "warnings", "model_version")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    DIGITS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCES_FIELD_NUMBER: _ClassVar[int]
    TOP_DIGITS_FIELD_NUMBER: _ClassVar[int]
    TOP_CONFIDENCES_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    QUEUED_US_FIELD_NUMBER: _ClassVar[int]
    INFERRED_US_FIELD_NUMBER: _ClassVar[int]
    REJECT_REASONS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedScalarFieldContainer[int]
    digits: _containers.RepeatedScalarFieldContainer[int]
    confidences: _containers.RepeatedScalarFieldContainer[float]
    top_digits: _containers.RepeatedScalarFieldContainer[int]
    top_confidences: _containers.RepeatedScalarFieldContainer[float]
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    queued_us: _containers.RepeatedScalarFieldContainer[int]
    inferred_us: _containers.RepeatedScalarFieldContainer[int]
    reject_reasons: _containers.RepeatedScalarFieldContainer[_error_pb2.RejectReason]
    warnings: _containers.RepeatedScalarFieldContainer[int]
    model_version: str
    def __init__(self, sequences: _Optional[_Iterable[int]] = ..., digits: _Optional[_Iterable[int]] = ..., confidences: _Optional[_Iterable[float]] = ..., top_digits: _Optional[_Iterable[int]] = ..., top_confidences: _Optional[_Iterable[float]] = ..., probabilities: _Optional[_Iterable[float]] = ..., queued_us: _Optional[_Iterable[int]] = ..., inferred_us: _Optional[_Iterable[int]] = ..., reject_reasons: _Optional[_Iterable[_Union[_error_pb2.RejectReason, str]]] = ..., warnings: _Optional[_Iterable[int]] = ..., model_version: _Optional[str] = ...) -> None: ...
