"""Why the server ends a stream before its caller does; each says it in a sentence for the caller."""


class ProtocolViolation(Exception):
    """The caller broke the protocol, so the stream ends. Says what was wrong."""


class StreamCut(Exception):
    """The server ends the stream for what it takes. Says why."""

    event: str
    """How the log names it."""


class ReaderStalled(StreamCut):
    """The caller has not read its answers for too long. Says how long."""

    event = "stream_stalled"


class MemoryShort(StreamCut):
    """The process needs the memory that the stream holds."""

    event = "stream_ended_for_memory"
