"""A drain on the wire, frame by frame."""

from __future__ import annotations

from inkstream.v1 import recognition_service_pb2 as pb

from tests.integration.conftest import StartServer, start_server  # noqa: F401 - a fixture
from tests.patience import eventually
from tests.system.hostile.peer import connected, headers, message

CONFIG = pb.StreamRecognizeRequest(config=pb.StreamConfig()).SerializeToString()


async def test_streams_end_with_ok_before_their_connection_gets_goaway(
    start_server: StartServer,  # noqa: F811 - the fixture
) -> None:
    server = start_server()
    with connected(server.address) as writing, connected(server.address) as resting:
        writing.send(headers(1), message(1, CONFIG))
        await eventually(
            "the stream is open",
            lambda: server.metrics().total("grpc_server_msg_sent_total") == 1,
        )
        server.signal()
        responses = [*writing.listen(10)]  # To the end of the connection.
        assert responses[:2] == ["grpc-status 0", "GOAWAY NO_ERROR"]
        assert [*resting.listen(10)] == ["GOAWAY NO_ERROR"]
        assert writing.is_disconnected
        assert resting.is_disconnected
    assert server.wait() == 0
