"""The gRPC service: makes a session of each stream, and a status code of each exception."""

from __future__ import (
    annotations,
)  # grpc.aio.ServicerContext takes type arguments in its stubs only.

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import grpc
from inkstream.v1 import ink_pb2, model_pb2, tensor_pb2
from inkstream.v1.recognition_service_pb2 import (
    GetModelRequest,
    GetModelResponse,
    RecognizeRequest,
    RecognizeResponse,
    StreamConfig,
    StreamOpened,
    StreamRecognizeResponse,
)

from inkstream_server import logs
from inkstream_server.access.allowance import Allowance
from inkstream_server.access.first_message import FirstMessages, Status
from inkstream_server.access.gate import CALLER
from inkstream_server.access.tokens import Caller
from inkstream_server.batching.batcher import Batcher
from inkstream_server.errors import shown
from inkstream_server.limits.memory_book import UNLIMITED, Account, MemoryBook
from inkstream_server.metrics.clients import short_name
from inkstream_server.metrics.items import Metrics
from inkstream_server.model_store.store import Model
from inkstream_server.pens.resources import InkResources
from inkstream_server.rpc.endings import (
    CALL_AGAIN,
    SHORT_SECONDS,
    cut_off,
    end_call,
    refuse_for_memory,
)
from inkstream_server.rpc.stream_wire import StreamWire
from inkstream_server.rpc.unary import unary_handler
from inkstream_server.rpc.unary_ink import recognize_ink
from inkstream_server.rpc.unary_tensors import recognize_tensors
from inkstream_server.streams.ends import ProtocolViolation, StreamCut
from inkstream_server.streams.lifetime import FIRST_MESSAGE_SECONDS, WHY, Ending, OpenStreams
from inkstream_server.streams.session import Limits, Session
from inkstream_server.wire.answer_options import read_options
from inkstream_server.wire.fields import Malformed
from inkstream_server.wire.requests import read_request
from inkstream_server.wire.tensors import TooManyFrames

if TYPE_CHECKING:
    StreamContext = grpc.aio.ServicerContext[bytes, bytes]
    AnyContext = grpc.aio.ServicerContext[Any, Any]


_STATUS_OF_ENDING: dict[Ending, grpc.StatusCode] = {
    "idle": grpc.StatusCode.UNAVAILABLE,
    "age": grpc.StatusCode.UNAVAILABLE,
    "revoked": grpc.StatusCode.UNAUTHENTICATED,
}


class RecognitionService:
    """`inkstream.v1.RecognitionService` over one batcher and one model at a time."""

    def __init__(
        self,
        model: Model,
        batcher: Batcher,
        metrics: Metrics,
        limits: Limits,
        resources: InkResources | None = None,
        streams: OpenStreams | None = None,
        book: MemoryBook | None = None,
        messages: FirstMessages | None = None,
    ) -> None:
        """Serve `model`, which `batcher` runs.

        Args:
            model: answers calls.
            batcher: computes.
            metrics: counts.
            limits: bounds on one stream.
            resources: what all pens share; None for the defaults.
            streams: bounds the number and the age of streams; None for the defaults.
            book: counts what callers hold; None for one of the default limits.
            messages: reads the messages of unary calls, and those of streams that are refused; None for any
                number at once.
        """
        self._model = model
        self._batcher = batcher
        self._metrics = metrics
        self._limits = limits
        self._resources = resources or InkResources.over(batcher, metrics)
        self._streams = streams or OpenStreams()
        self._book = book or MemoryBook()
        self._messages = messages or FirstMessages(UNLIMITED)
        # Not bounded in number: when a site reconnects, thousands of streams wait for their first message.
        self._openings = FirstMessages(UNLIMITED, self._messages.refused)
        self._sessions: set[Session] = set()
        self._is_draining = False

    async def _stream_recognize(self, _requests: object, context: StreamContext) -> None:
        """Serve one stream.

        Uses `context.read` and `context.write`, not the iterator: a quarter more messages a second, and
        reading and writing at the same time.
        """
        logs.about_stream(context.peer(), context.invocation_metadata() or ())
        await self._require_no_drain(context)
        caller = CALLER.get()
        if self._book.refuses():
            self._messages.refused("memory")
            await refuse_for_memory(context)
        limit = self._streams.enter(caller)
        if limit is not None:
            await self._messages.refuse_stream(
                context, "streams", Status(grpc.StatusCode.RESOURCE_EXHAUSTED, limit)
            )
        try:
            with (
                self._metrics.streams.track_inprogress(),
                self._book.account(context.peer(), cut_off()) as account,
            ):
                status = await self._serve_stream(context, caller, account)
            if status is not None:
                # The status waits behind unread answers. Until it has left, the stream counts against the
                # limits.
                if self._book.is_short:
                    await end_call(context, *status, SHORT_SECONDS, CALL_AGAIN)
                await end_call(context, *status)
        finally:
            self._streams.leave(caller)

    async def _serve_stream(
        self, context: StreamContext, caller: Caller | None, account: Account
    ) -> tuple[grpc.StatusCode, str] | None:
        """Serve an admitted stream; give the status to end it with if the server ended it."""
        first = await self._openings.read(context, FIRST_MESSAGE_SECONDS, "config")
        if first is None:
            return None
        wire = StreamWire(context)
        config = _config(first)
        if isinstance(config, str):
            await end_call(context, grpc.StatusCode.INVALID_ARGUMENT, config)
            return None
        await self._require_model(config.model, context)
        await _require_options(config.answers, "config.answers", context)
        options, label = read_options(config.answers), shown(config.client_label)
        # Or the stream would hold the whole message for as long as it is open.
        del first, config
        await self._require_no_drain(context)  # A drain may have started in the meantime.
        session = Session(
            wire,
            self._batcher,
            self._metrics,
            options,
            self._limits,
            self._resources,
            client_label=label,
            allowance=caller.allowance if caller else None,
            account=account,
            opening=self._opened().SerializeToString(),
        )
        # Known before its first write: a caller that reads nothing holds up that one, too.
        self._sessions.add(session)
        logs.get().debug("stream_opened", client=short_name(label))
        try:
            async with self._streams.lifetime(session, caller) as lifetime:
                await session.run()
        except ProtocolViolation as violation:
            logs.get().info("stream_violated", reason=str(violation))
            await end_call(context, grpc.StatusCode.INVALID_ARGUMENT, str(violation))
        except StreamCut as cut:
            logs.get().warning(cut.event, reason=str(cut))
            return grpc.StatusCode.RESOURCE_EXHAUSTED, str(cut)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not lifetime.has_cut or task is None:
                raise
            task.uncancel()
        finally:
            self._sessions.discard(session)
            wire.close()
            logs.get().debug("stream_ended")
        # A client that left on the drain notice received every answer: the status is OK.
        if lifetime.ending is not None and (session.was_cut or lifetime.has_cut):
            return _STATUS_OF_ENDING[lifetime.ending], WHY[lifetime.ending]
        return None

    @property
    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """The handler of each method, by its name."""
        unary = partial(unary_handler, self._messages, self._book)
        return {
            # As bytes in both directions: the session parses a message when it knows its size.
            "StreamRecognize": grpc.stream_stream_rpc_method_handler(self._stream_recognize),
            "Recognize": unary(RecognizeRequest, self._recognize),
            "GetModel": unary(GetModelRequest, self._get_model),
        }

    async def _recognize(
        self, request: RecognizeRequest, context: AnyContext, account: Account
    ) -> RecognizeResponse:
        """Recognise one batch of tensors, or one ink."""
        arrived = perf_counter()
        await self._require_model(request.model, context)
        await _require_options(request.answers, "answers", context)
        kind = request.WhichOneof("input")
        if kind == "ink":
            answer = await recognize_ink(
                request.ink,
                read_options(request.answers),
                self._resources,
                _allowance(),
                account,
                self._resources.turns.lane(context.peer()),
            )
            if isinstance(answer, ink_pb2.GlyphResult):
                return RecognizeResponse(glyph=answer)
            return RecognizeResponse(errors=[answer])
        if kind is None:
            await end_call(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "input: expected tensors or ink, got neither",
            )
        try:
            return await recognize_tensors(
                request.tensors,
                read_options(request.answers),
                arrived,
                self._batcher,
                self._metrics,
                max_frames=self._limits.max_frames_per_message,
                allowance=_allowance(),
                account=account,
                lane=self._resources.turns.lane(context.peer()),
            )
        except TooManyFrames as excess:
            await end_call(context, grpc.StatusCode.INVALID_ARGUMENT, str(excess))
            raise

    async def _get_model(
        self, request: GetModelRequest, context: AnyContext, _account: Account
    ) -> GetModelResponse:
        """Describe the model."""
        await self._require_model(request.model, context)
        return GetModelResponse(model=_describe(self._model))

    async def end_stalled_streams(self, limit: float) -> None:
        """End streams whose caller reads no answer for `limit` seconds; runs until cancelled."""
        while True:
            await asyncio.sleep(limit / 8)
            now = perf_counter()
            for session in [*self._sessions]:
                session.end_if_stalled(limit, now)

    def serve(self, model: Model) -> None:
        """Describe this model to callers from now on. Open streams go on, even if they named a version."""
        self._model = model

    async def drain(self, grace_seconds: float) -> None:
        """Reject new streams, drain the open ones, and wait until each has its answers."""
        self._is_draining = True
        await asyncio.gather(*(session.drain(grace_seconds) for session in self._sessions))

    async def _require_no_drain(self, context: AnyContext) -> None:
        if self._is_draining:
            await end_call(
                context,
                grpc.StatusCode.UNAVAILABLE,
                "the server is stopping: open the stream elsewhere",
            )

    async def _require_model(self, wanted: str, context: AnyContext) -> None:
        if wanted not in ("", self._model.name, self._model.label):
            await end_call(
                context,
                grpc.StatusCode.NOT_FOUND,
                f"model: expected '{self._model.name}' or nothing, got '{shown(wanted)}'; this server serves "
                f"only the version '{self._model.label}'",
            )

    def _opened(self) -> StreamRecognizeResponse:
        return StreamRecognizeResponse(
            opened=StreamOpened(
                model=_describe(self._model),
                window=self._limits.window,
                max_frames_per_message=self._limits.max_frames_per_message,
            )
        )


def _allowance() -> Allowance | None:
    """Give the allowance of this call's caller; None for no limit."""
    caller = CALLER.get()
    return caller.allowance if caller is not None else None


def _config(message: bytes) -> StreamConfig | str:
    """Read the first message of a stream; gives what is wrong if it is no configuration."""
    try:
        request = read_request(message)
    except Malformed as wrong:
        return f"request: expected a StreamRecognizeRequest, but {wrong}"
    if isinstance(request, StreamConfig):
        return request
    got = "an empty message"
    if request is not None:
        got = "tensors" if isinstance(request, tensor_pb2.Tensors) else "ink"
    return f"config: expected in the first message of a stream, got {got}"


def _describe(model: Model) -> model_pb2.Model:
    return model_pb2.Model(
        name=model.name,
        version=model.version,
        engine=model.images.engine.name,
        sha256=model.sha256,
        card_json=model.card_json,
    )


async def _require_options(
    options: tensor_pb2.AnswerOptions,
    field: str,
    context: AnyContext,
) -> None:
    if options.top_k > 10:
        await end_call(
            context,
            grpc.StatusCode.INVALID_ARGUMENT,
            f"{field}.top_k: expected 0 to 10, got {options.top_k}",
        )
