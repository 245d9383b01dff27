"""Empty batches: what they do to a server, and that the front keeps them away from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tensorflow_serving.apis import predict_pb2

from exporter.client import RestClient
from exporter.preview.server import PreviewServer
from tests.serving_configs.front import OPTIONS, PREDICT, TOKEN, Front

BATCHING = "max_batch_size { value: 8 } allowed_batch_sizes: 8 batch_timeout_micros { value: 0 }"
ENDLESS = {"timeout": 1, "trust_env": False}


def batching_server(start: Any, base: Path, folder: Path, **fields: Any) -> PreviewServer:
    file = folder / "batching.config"
    file.write_text(BATCHING)
    server: PreviewServer = start(
        model_name="toy", model_base_path=base, batching_parameters_file=file, **fields
    )
    return server


@pytest.fixture
def hanging(start: Any, toy_versions: Path, tmp_path: Path) -> PreviewServer:
    """As the genuine server: with four REST threads, which empty batches keep."""
    return batching_server(start, toy_versions, tmp_path, rest_api_num_threads=4, hang_on_empty_batches=True)


@pytest.fixture
def front(hanging: PreviewServer, tmp_path: Path) -> Iterator[Front]:
    running = Front(tmp_path, hanging, OPTIONS)
    yield running
    running.stop()


def test_four_empty_batches_stop_a_bare_server(hanging: PreviewServer) -> None:
    assert RestClient(hanging.rest_url, "toy").status()[0]["state"] == "AVAILABLE"
    for _ in range(4):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{hanging.rest_url}/v1/models/toy:predict", json={"inputs": []}, **ENDLESS)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{hanging.rest_url}/v1/models/toy", **ENDLESS)


def test_the_front_protects_the_server(front: Front) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(verify=str(front.ca), headers=headers, trust_env=False, timeout=20) as client:
        for body in [{"inputs": {"text": []}}, {"instances": []}] * 3:
            assert client.post(f"{front.url}/v1/models/toy:predict", json=body).status_code == 400
    empty = predict_pb2.PredictRequest()
    empty.model_spec.name = "toy"
    empty.inputs["text"].dtype = 7
    empty.inputs["text"].tensor_shape.dim.add(size=0)
    credentials = grpc.ssl_channel_credentials(front.ca.read_bytes())
    with grpc.secure_channel(f"localhost:{front.port}", credentials) as channel:
        predict = channel.unary_unary(PREDICT)
        for _ in range(4):
            with pytest.raises(grpc.RpcError, match='input "text" has no rows'):
                predict(
                    empty.SerializeToString(), metadata=[("authorization", f"Bearer {TOKEN}")], timeout=20
                )
    with front.rest() as rest, front.grpc() as stub:
        assert rest.status()[0]["state"] == "AVAILABLE"
        assert rest.generate(["a"])[0].text == stub.generate(["a"])[0].text == "A v2"


def test_they_are_refused_where_they_do_not_hang(start: Any, toy_versions: Path, tmp_path: Path) -> None:
    server = batching_server(start, toy_versions, tmp_path)
    response = httpx.post(f"{server.rest_url}/v1/models/toy:predict", json={"inputs": []}, trust_env=False)
    assert response.status_code == 400
    assert "never answers such a request while batching is on" in response.json()["error"]
