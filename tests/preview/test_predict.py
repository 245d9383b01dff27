"""Answers over both protocols: forms, shapes, dtypes, versions and labels."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest
import tensorflow as tf

from exporter.client import GrpcClient, RestClient
from exporter.preview.server import PreviewServer


def post(server: PreviewServer, body: Any, path: str = "/v1/models/toy:predict") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = httpx.post(server.rest_url + path, content=content, trust_env=False)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/json")
    return response.json()


def test_row_form_of_a_single_input_answers_objects(server: PreviewServer) -> None:
    answer = post(server, {"instances": ["ab", "ü"]})
    assert answer == {
        "predictions": [
            {"error": "", "finish_reason": "stop", "generated_text": "AB v2", "num_tokens": 2},
            {"error": "", "finish_reason": "stop", "generated_text": "Ü v2", "num_tokens": 2},
        ]
    }


def test_row_form_with_names_equals_the_shorthand(server: PreviewServer) -> None:
    assert post(server, {"instances": [{"text": "ab"}]}) == post(server, {"instances": ["ab"]})


def test_row_form_of_a_single_output_drops_its_name(server: PreviewServer) -> None:
    answer = post(server, {"signature_name": "compiled", "instances": [[1, 0, 0], [0, 1.5, 0]]})
    assert answer == {"predictions": [[0.0, 1.0], [3.0, 4.5]]}


def test_columnar_form(server: PreviewServer) -> None:
    answer = post(server, {"signature_name": "compiled", "inputs": [[1, 0, 0]]})
    assert answer == {"outputs": [[0.0, 1.0]]}
    named = post(server, {"signature_name": "compiled", "inputs": {"x": [[1, 0, 0]]}})
    assert named == answer
    many = post(server, {"inputs": ["ab", "c"]})["outputs"]
    assert many["generated_text"] == ["AB v2", "C v2"]
    assert many["num_tokens"] == [2, 1]


def test_several_inputs_of_several_types(server: PreviewServer) -> None:
    rows = [{"scale": 0.5, "count": 2**20, "negate": True}, {"scale": 2, "count": 3, "negate": False}]
    answer = post(server, {"signature_name": "pair", "instances": rows})["predictions"]
    assert answer == [{"count": 2**20, "product": -(2.0**19)}, {"count": 3, "product": 6.0}]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    outputs = post(server, {"signature_name": "pair", "inputs": columns})["outputs"]
    assert outputs == {"count": [2**20, 3], "product": [-(2.0**19), 6.0]}


def test_padded_rows_keep_their_rank(server: PreviewServer) -> None:
    answer = post(server, {"signature_name": "encode", "inputs": ["abc", "", "d"]})["outputs"]
    assert answer == {"input_ids": [[97, 98, 99], [0, 0, 0], [100, 0, 0]], "num_tokens": [3, 0, 1]}


def test_base64_in_and_out(server: PreviewServer) -> None:
    data = bytes(range(256)) + b"\x00\x00"
    encoded = {"b64": base64.b64encode(data).decode()}
    for body in ({"instances": [encoded]}, {"instances": [{"text": encoded}]}):
        answer = post(server, {"signature_name": "binary"} | body)
        assert answer == {"predictions": [encoded]}
    assert post(server, {"signature_name": "binary", "inputs": [encoded]}) == {"outputs": [encoded]}


def test_invalid_utf8_reaches_the_graph_as_it_came(server: PreviewServer) -> None:
    answer = post(server, b'{"signature_name": "binary", "instances": ["a\xff\xfe"]}')
    assert base64.b64decode(answer["predictions"][0]["b64"]) == b"a\xff\xfe"


def test_strings_of_every_kind_come_back(server: PreviewServer) -> None:
    texts = ["", "\x00", "a\x00b\x00", '"\\\n\t', "\u2028 \U0001f600 é", "x" * 100_000]
    assert post(server, {"signature_name": "copy", "inputs": texts}) == {"outputs": texts}


def test_floats_are_printed_as_the_server_prints_them(server: PreviewServer) -> None:
    values = [1.0, 2 / 3, 18e6, 0.2, 6e-5]
    body = json.dumps({"signature_name": "halves", "inputs": values}).encode()
    text = httpx.post(server.rest_url + "/v1/models/toy:predict", content=body, trust_env=False).text
    assert '"single": [0.5, 0.333333343, 9e+06, 0.1, 3e-05]' in text
    # The float32 2/3 as a double, halved: seventeen digits.
    assert '"double": [0.5, 0.3333333432674408, 9e+06' in text


def test_infinities_travel_both_ways(server: PreviewServer) -> None:
    body = b'{"signature_name": "halves", "inputs": [Infinity, -Infinity, NaN]}'
    answer = post(server, body)["outputs"]["single"]
    assert answer[:2] == [float("inf"), float("-inf")]
    assert np.isnan(answer[2])


@pytest.mark.parametrize(
    ("path", "version"),
    [("", 2), ("/versions/1", 1), ("/versions/2", 2), ("/labels/stable", 1), ("/labels/canary", 2)],
)
def test_versions_and_labels(server: PreviewServer, path: str, version: int) -> None:
    answer = post(server, {"inputs": ["a"]}, f"/v1/models/toy{path}:predict")
    assert answer["outputs"]["generated_text"] == [f"A v{version}"]


def test_other_models_and_letter_case_of_the_path(server: PreviewServer) -> None:
    assert post(server, {"inputs": ["a"]}, "/V1/Models/other:Predict")["outputs"]["generated_text"] == [
        "A v1"
    ]


def test_status(server: PreviewServer) -> None:
    answer = httpx.get(server.rest_url + "/v1/models/toy", trust_env=False).json()
    assert answer == {
        "model_version_status": [
            {
                "version": str(number),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for number in (2, 1)
        ]
    }
    one = httpx.get(server.rest_url + "/v1/models/toy/versions/1", trust_env=False).json()
    assert [item["version"] for item in one["model_version_status"]] == ["1"]
    other = httpx.get(server.rest_url + "/v1/models/other", trust_env=False).json()
    assert [item["version"] for item in other["model_version_status"]] == ["1"]


def test_metadata(server: PreviewServer) -> None:
    answer = httpx.get(server.rest_url + "/v1/models/toy/labels/stable/metadata", trust_env=False).json()
    assert answer["model_spec"]["name"] == "toy"
    assert answer["model_spec"]["version"] == "1"
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    text = signatures["serving_default"]["inputs"]["text"]
    assert text["dtype"] == "DT_STRING"
    assert text["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"


def clients(server: PreviewServer, **options: Any) -> list[Any]:
    return [
        RestClient(server.rest_url, "toy", **options),
        GrpcClient(server.grpc_target, "toy", **options),
    ]


def test_both_clients_get_the_same(server: PreviewServer) -> None:
    rest, grpc = clients(server)
    requests: list[tuple[str, dict[str, Any]]] = [
        ("serving_default", {"text": ["ab", b"c\x00", "\U0001f600"]}),
        ("encode", {"text": ["abc", ""]}),
        ("compiled", {"x": np.eye(3, dtype=np.float32)}),
        ("compiled", {"x": [[1, 2, 3]]}),
        ("pair", {"scale": [0.1], "count": [2**62], "negate": [False]}),
        ("binary", {"text": [b"\xff\x00"]}),
        ("halves", {"x": [1 / 3, 1e-30]}),
    ]
    for signature, inputs in requests:
        over_rest, over_grpc = rest.predict(signature, inputs), grpc.predict(signature, inputs)
        assert sorted(over_rest) == sorted(over_grpc)
        for name, array in over_grpc.items():
            assert over_rest[name].shape == array.shape
            assert over_rest[name].astype(array.dtype).tolist() == array.tolist(), (signature, name)
    assert rest.status() == grpc.status()
    assert rest.metadata() == grpc.metadata()
    assert rest.metadata()["compiled"]["inputs"] == {"x": {"dtype": "float", "shape": [None, 3]}}


def test_metadata_lists_every_signature(server: PreviewServer, toy_versions: Any) -> None:
    """As the real server does: the init op too, whose output is no tensor."""
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel.FromString((toy_versions / "2" / "saved_model.pb").read_bytes())
    written = message.meta_graphs[0].signature_def
    for client in clients(server):
        listed = client.metadata()
        assert set(listed) == set(written) > {"__saved_model_init_op"}
        assert listed["__saved_model_init_op"] == {
            "inputs": {},
            "outputs": {"__saved_model_init_op": {"dtype": "invalid", "shape": None}},
        }
    raw = httpx.get(server.rest_url + "/v1/models/toy/metadata", trust_env=False).json()
    init = raw["metadata"]["signature_def"]["signature_def"]["__saved_model_init_op"]
    assert init["outputs"]["__saved_model_init_op"] == {
        "dtype": "DT_INVALID",
        "name": "NoOp",
        "tensor_shape": {"dim": [], "unknown_rank": True},
    }
    stub = GrpcClient(server.grpc_target, "toy")
    assert stub.generate(["a"])[0].text == "A v2"


def test_the_reloaded_model_is_the_oracle(server: PreviewServer, toy_versions: Any) -> None:
    loaded = tf.saved_model.load(str(toy_versions / "2")).signatures["encode"]
    texts = ["naïve", "x", ""]
    expected = {name: value.numpy() for name, value in loaded(text=tf.constant(texts)).items()}
    for client in clients(server):
        outputs = client.predict("encode", {"text": texts})
        assert {name: array.tolist() for name, array in outputs.items()} == {
            name: array.tolist() for name, array in expected.items()
        }


def test_clients_choose_versions_and_labels(server: PreviewServer) -> None:
    for options, version in (({"version": 1}, 1), ({"label": "canary"}, 2), ({"label": "stable"}, 1)):
        for client in clients(server, **options):
            assert client.generate(["a"])[0].text == f"A v{version}"


def test_generate_splits_prompts_and_keeps_their_order(server: PreviewServer) -> None:
    prompts = [f"p{index}" for index in range(5)]
    for client in clients(server):
        completions = client.generate(prompts, rows_per_request=2)
        assert [item.prompt for item in completions] == prompts
        assert [item.text for item in completions] == [f"P{index} v2" for index in range(5)]
        assert completions[0].finish_reasons == ("stop",)
        assert completions[0].num_tokens == (2,)
        assert completions[0].error == ""


def test_output_filter(server: PreviewServer) -> None:
    client = GrpcClient(server.grpc_target, "toy")
    outputs = client.predict("serving_default", {"text": ["a"]}, output_filter=["num_tokens"])
    assert {name: array.tolist() for name, array in outputs.items()} == {"num_tokens": [1]}


def test_large_messages_pass(server: PreviewServer) -> None:
    """gRPC's default limit of 4 MB is raised on both sides."""
    text = b"x" * 6_000_000
    for client in clients(server):
        assert client.predict("copy", {"text": [text]})["copy"].tolist() == [text]
