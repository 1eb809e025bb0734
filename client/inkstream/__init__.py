"""Client of inkstream: handwritten digits recognised while they are written.

    from inkstream import Client

    with Client("localhost:50051") as client:
        print(client.recognize(image).digit)      # one 28x28 image, or an array of them
        for result in client.stream(images):      # many, in order
            print(result.digit, result.confidence)

`AsyncClient` is the same for asyncio. Errors are drawn as a tree in `inkstream._exceptions`.
"""

from inkstream._async_client import AsyncClient
from inkstream._client import Client
from inkstream._exceptions import (
    AccessDenied,
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
from inkstream._options import Tls
from inkstream._results import ImageWarning, Model, RejectReason, Result

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "Client",
    "ClientClosed",
    "ConnectionFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "EngineFailed",
    "FatalError",
    "ImageWarning",
    "InkstreamError",
    "InputError",
    "InvalidImage",
    "InvalidRequest",
    "Model",
    "ModelNotFound",
    "Overloaded",
    "ProtocolError",
    "RejectReason",
    "Result",
    "RetryableError",
    "ServerDraining",
    "Tls",
    "Unsupported",
    "__version__",
]
