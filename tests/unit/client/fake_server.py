"""A server that follows the contract, on a real port; tests control its behaviour.

A frame is "recognised" by its first two pixels: the digit is the first modulo 10, the confidence
the second over 255. A first pixel of REFUSED is refused as an invalid argument. A glyph holds all strokes
of a pen until `glyph_end`; its digit is the number of its strokes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from inkstream.v1 import error_pb2, ink_pb2, model_pb2, recognition_service_pb2_grpc, tensor_pb2
from inkstream.v1 import recognition_service_pb2 as wire

REFUSED = 255


def frame(digit: int, confidence: int = 51) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    image = np.zeros((28, 28), np.uint8)
    image[0, :2] = digit, confidence
    return image


class FakeServer(recognition_service_pb2_grpc.RecognitionServiceServicer):
    def __init__(self, *, window: int = 64, max_frames: int = 16) -> None:
        self.window = window
        self.max_frames = max_frames
        self.messages: list[tensor_pb2.Tensors] = []
        self.configs: list[wire.StreamConfig] = []
        self.openings: list[ink_pb2.PenOpen] = []
        """The settings of opened pens."""
        self.metadata: list[dict[str, Any]] = []
        self.arrived = threading.Semaphore(0)
        """Released for each message of tensors."""
        self.answering = threading.Event()
        """A test clears it to hold back answers."""
        self.answering.set()
        self.break_after: int | None = None
        """Messages of tensors after which a stream is aborted."""
        self.drain_after: int | None = None
        """Messages of tensors after which the server sends a drain notice."""
        self.busy = 0
        """Number of first messages of tensors that are refused with a retry-after."""
        self.retry_after_ms = 10
        self.pending = 0
        """Number of next calls that are refused with UNAUTHENTICATED and a time to call again."""
        self.is_denying = False
        """Whether all calls are refused with UNAUTHENTICATED, for good."""
        self.refusals = 0
        """Number of calls that were refused for that."""
        self.card_json = "{}"
        self.reject_reason = error_pb2.REJECT_REASON_UNSPECIFIED
        """The reason with which all images are rejected; unspecified for none."""
        self.streams_ended = threading.Semaphore(0)
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        recognition_service_pb2_grpc.add_RecognitionServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self.answering.set()
        self._server.stop(None).wait()

    def _admit(self, context: Any) -> None:
        """Refuse a call with UNAUTHENTICATED, if a test wants that."""
        if not self.pending and not self.is_denying:
            return
        self.refusals += 1
        if self.pending:
            self.pending -= 1
            context.set_trailing_metadata((("grpc-retry-pushback-ms", str(self.retry_after_ms)),))
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you")

    def StreamRecognize(
        self, request_iterator: Iterator[wire.StreamRecognizeRequest], context: Any
    ) -> Iterator[wire.StreamRecognizeResponse]:
        self.metadata.append(dict(context.invocation_metadata()))
        config = next(request_iterator).config
        self._admit(context)
        if config.model == "absent":
            context.abort(grpc.StatusCode.NOT_FOUND, "no model named absent")
        if config.model == "secret":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you")
        if config.model == "leaving":
            return
        if config.model == "stranger":
            yield wire.StreamRecognizeResponse()
        self.configs.append(config)
        yield wire.StreamRecognizeResponse(
            opened=wire.StreamOpened(
                model=model_pb2.Model(name="digits", version="1"),
                window=self.window,
                max_frames_per_message=self.max_frames,
            )
        )
        desk = Desk()
        try:
            for number, request in enumerate(request_iterator, 1):
                if request.HasField("ink"):
                    events = request.ink.events
                    self.openings += [event.open for event in events if event.HasField("open")]
                    yield desk.answer(request.ink)
                    continue
                self.messages.append(request.tensors)
                self.arrived.release()
                self.answering.wait()
                if self.break_after == number:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the server fell over")
                if self.busy:
                    self.busy -= 1
                    yield refuse(request.tensors, self.retry_after_ms)
                    continue
                response = answer(request.tensors, config.answers)
                for columns in response.tensors:
                    if self.reject_reason:
                        columns.reject_reasons.extend([self.reject_reason] * len(columns.digits))
                if self.drain_after == number:
                    response.draining.grace_ms = 1000
                yield response
        finally:
            self.streams_ended.release()

    def GetModel(self, request: wire.GetModelRequest, context: Any) -> wire.GetModelResponse:
        self._admit(context)
        if request.model == "absent":
            context.abort(grpc.StatusCode.NOT_FOUND, "no model named absent")
        model = model_pb2.Model(
            name="digits", version="1", engine="fake", sha256="ab" * 32, card_json=self.card_json
        )
        return wire.GetModelResponse(model=model)


class Desk:
    """The pens of one stream."""

    def __init__(self) -> None:
        self._strokes: dict[int, list[int]] = {}
        self._glyphs: dict[int, int] = {}

    def answer(self, ink: ink_pb2.InkEvents) -> wire.StreamRecognizeResponse:
        response = wire.StreamRecognizeResponse()
        for event in ink.events:
            kind, strokes = event.WhichOneof("event"), self._strokes.setdefault(event.pen, [])
            if kind == "stroke_begin":
                strokes.append(event.stroke_begin.stroke)
            elif kind == "stroke_end":
                self._result(response, event.pen, ink_pb2.GLYPH_STATE_PROVISIONAL)
            elif kind in ("glyph_end", "close") and strokes:
                self._result(response, event.pen, ink_pb2.GLYPH_STATE_FINAL)
                self._glyphs[event.pen] = self._glyphs.get(event.pen, 0) + 1
                strokes.clear()
        return response

    def _result(
        self, response: wire.StreamRecognizeResponse, pen: int, state: ink_pb2.GlyphState
    ) -> None:
        strokes = self._strokes[pen]
        response.glyphs.add(
            pen=pen,
            glyph=self._glyphs.get(pen, 0) + 1,
            state=state,
            digit=len(strokes),
            confidence=0.5,
            strokes=strokes,
            model_version="digits/1",
        )


def pixels_of(tensors: tensor_pb2.Tensors) -> np.ndarray:
    """The frames of a message as uint8 of shape (N, 784)."""
    if tensors.WhichOneof("frames") == "float32":
        floats = np.frombuffer(tensors.float32, "<f4").reshape(-1, 784)
        return np.round(floats * 255).astype(np.uint8)
    return np.frombuffer(tensors.uint8, np.uint8).reshape(-1, 784)


def refuse(tensors: tensor_pb2.Tensors, retry_after_ms: int) -> wire.StreamRecognizeResponse:
    response = wire.StreamRecognizeResponse()
    for sequence in tensors.sequences:
        response.errors.add(
            sequence=sequence,
            code=error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED,
            message="too much to do",
            retry_after_ms=retry_after_ms,
        )
    return response


def answer(
    tensors: tensor_pb2.Tensors, options: tensor_pb2.AnswerOptions
) -> wire.StreamRecognizeResponse:
    response = wire.StreamRecognizeResponse()
    columns = tensor_pb2.TensorResults(model_version="digits/1")
    for sequence, pixels in zip(tensors.sequences, pixels_of(tensors), strict=True):
        if pixels[0] == REFUSED:
            response.errors.add(
                sequence=sequence,
                code=error_pb2.ERROR_CODE_INVALID_ARGUMENT,
                message="tensors: not to my taste",
                field="tensors.uint8",
            )
            continue
        digit, confidence = int(pixels[0]) % 10, int(pixels[1]) / 255
        columns.sequences.append(sequence)
        columns.digits.append(digit)
        columns.confidences.append(confidence)
        for step in range(options.top_k):
            columns.top_digits.append((digit + step) % 10)
            columns.top_confidences.append(confidence / (step + 1))
        if options.probabilities:
            columns.probabilities.extend(confidence * (n == digit) for n in range(10))
        if options.timings:
            columns.queued_us.append(1500)
            columns.inferred_us.append(250)
    if columns.sequences:
        response.tensors.append(columns)
    return response
