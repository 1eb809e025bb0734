"""Client of inkstream, a service that recognises handwritten digits while they are written.

    from inkstream import Client

    with Client("localhost:50051") as client:
        print(client.recognize(image).digit)      # one 28x28 image, or an array of them
        for result in client.stream(images):      # many, in order
            print(result.digit, result.confidence)

        with client.pen(y="down", units="px") as pen:  # somebody writes
            pen.down(10, 12); pen.move(11, 15); pen.up()
            for result in pen:                      # provisional, then final
                print(result.state, result.digit, result.alternatives)

`AsyncClient` is the same for asyncio. `InkstreamError` draws the tree of errors.
"""

# First, because it decides how gRPC is imported.
from inkstream import _fork as _fork
from inkstream._async_client import AsyncClient
from inkstream._client import Client
from inkstream._exceptions import (
    AccessDenied,
    AccessPending,
    ClientClosed,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    EngineFailed,
    FatalError,
    InkstreamError,
    InputError,
    InvalidImage,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ProtocolError,
    RetryableError,
    ServerDraining,
    Unsupported,
)
from inkstream._images.frames import Images, OneImage, SeveralImages
from inkstream._options.connection_events import ConnectionEvent, ConnectionState, OnState
from inkstream._options.metadata import Metadata
from inkstream._options.pen import Boxes, OnResult, Rectangle
from inkstream._options.retry import RetryPolicy
from inkstream._options.tls import Tls
from inkstream._pens.pens import AsyncPen, Pen
from inkstream._results.glyphs import GlyphResult, GlyphState
from inkstream._results.images import ImageWarning, Model, RejectReason, Result
from inkstream.ink import Ink, InvalidInk, Stroke, YDirection

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AccessPending",
    "AsyncClient",
    "AsyncPen",
    "Boxes",
    "Client",
    "ClientClosed",
    "ConnectionEvent",
    "ConnectionFailed",
    "ConnectionLost",
    "ConnectionState",
    "DeadlineExceeded",
    "EngineFailed",
    "FatalError",
    "GlyphResult",
    "GlyphState",
    "ImageWarning",
    "Images",
    "Ink",
    "InkstreamError",
    "InputError",
    "InvalidImage",
    "InvalidInk",
    "InvalidRequest",
    "Metadata",
    "Model",
    "ModelNotFound",
    "OnResult",
    "OnState",
    "OneImage",
    "Overloaded",
    "Pen",
    "ProtocolError",
    "Rectangle",
    "RejectReason",
    "Result",
    "RetryPolicy",
    "RetryableError",
    "ServerDraining",
    "SeveralImages",
    "Stroke",
    "Tls",
    "Unsupported",
    "YDirection",
    "__version__",
]
