from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from inkstream.v1 import recognition_service_pb2 as pb

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer, StartServer
from tests.integration.contract import Answers, open_stream, recognize_all, stub
from tests.patience import eventually

pytest.importorskip(
    "tensorflow", reason="TensorFlow is not installed: pip install -e 'server[keras]'"
)


def probabilities(answers: Answers) -> npt.NDArray[np.float32]:
    groups = [group for response in answers.responses for group in response.tensors]
    return np.concatenate([np.array(group.probabilities, np.float32) for group in groups])


# One test, because TensorFlow takes seconds to start.
async def test_the_keras_engine_serves_the_same_answers_and_drains_without_loss(
    start_server: StartServer, server: RunningServer, mnist: Mnist
) -> None:
    reference = start_server("--engine", "keras")
    frames = mnist[0][:1000].reshape(-1, 784)
    wanted = await recognize_all(server.address, frames, probabilities=True)
    found = await recognize_all(reference.address, frames, probabilities=True)
    assert found.digits == wanted.digits
    assert np.abs(probabilities(found) - probabilities(wanted)).max() < 1e-5

    metrics = reference.metrics()
    assert [it["engine"] for it in metrics.labels("inkstream_model_info")] == ["keras"]
    assert metrics.value("inkstream_items_total", kind="tensor", outcome="ok") == 1000
    async with stub(reference.address) as service:
        model = (await service.GetModel(pb.GetModelRequest())).model
        assert model.engine == "keras"

        # A caller that leaves while the engine's thread computes its images.
        leaving, staying = await open_stream(service), await open_stream(service)
        await leaving.send(sequences=range(1000), uint8=frames.tobytes())
        await staying.send(sequences=range(1000), uint8=frames.tobytes())
        leaving.call.cancel()
        assert (await staying.receive_until(1000)).digits == wanted.digits
        await eventually(
            "one stream, no queue",
            lambda: (
                reference.metrics().value("inkstream_streams") == 1
                and reference.metrics().total("inkstream_queue_depth") == 0
            ),
        )

        await staying.send(sequences=range(1000, 2000), uint8=frames.tobytes())
        await staying.call.done_writing()
        await eventually(
            "the frames have arrived",
            lambda: (
                reference.metrics().total(
                    "grpc_server_msg_received_total", grpc_method="StreamRecognize"
                )
                >= 6
            ),
        )
        reference.signal()
        answers = await staying.receive_all()
        assert answers.order == [*range(2000)]
    assert reference.wait() == 0
