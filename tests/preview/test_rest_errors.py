"""Bad requests over REST: the right code and the server's message, and the next request is answered.

The messages and codes are those of TensorFlow Serving's sources (json_tensor.cc, predict_util.cc, server_core.cc).
"""

# ruff: noqa: E501  (tables of messages)

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from exporter.preview.server import PreviewServer


def send(server: PreviewServer, body: Any, path: str = "/v1/models/toy:predict", method: str = "POST") -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.request(method, server.rest_url + path, content=content, trust_env=False)


def check(server: PreviewServer, response: Any, status: int, *parts: str) -> None:
    """The error's status and body, and that the server still answers."""
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    for part in parts:
        assert part in response.json()["error"]
    again = send(server, {"inputs": ["a"]})
    assert again.status_code == 200
    assert again.json()["outputs"]["generated_text"] == ["A v2"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"  ", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b'{"instances": [}', "JSON Parse error: Invalid value. at offset: 15"),
        (
            b'{"instances" 1}',
            "JSON Parse error: Missing a colon after a name of object member. at offset: 13",
        ),
        (b'{"inputs": ["a"]} x', "JSON Parse error: The document root must not be followed by other values."),
        (b'{"inputs": ["a', "JSON Parse error: Missing a closing quotation mark in string."),
        (b'{"inputs": ["\\ud800"]}', "JSON Parse error: The surrogate pair in string is invalid."),
        (b"[" * 100_000, "JSON Parse error"),
        (b"[1]", "Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (
            b'{"inputs": ["a"], "instances": ["a"]}',
            "expecting only one of 'inputs' or 'instances' keys to exist",
        ),
        (b'{"instances": "a"}', "Excepting 'instances' to be an list/array"),
        (b'{"instances": []}', "No values in 'instances' array"),
        (b'{"signature_name": 7, "inputs": ["a"]}', "'signature_name' key must be a string value."),
        (
            b'{"signature_name": "nope", "inputs": ["a"]}',
            'Serving signature name: "nope" not found in signature def',
        ),
    ],
)
def test_malformed_bodies(server: PreviewServer, body: bytes, message: str) -> None:
    check(server, send(server, body), 400, message)


@pytest.mark.parametrize(
    ("signature", "fields", "message"),
    [
        ("copy", {"instances": [1]}, "JSON Value: 1 Type: Number is not of expected type: string"),
        ("copy", {"instances": [None]}, "JSON Value: null Type: Null is not of expected type: string"),
        (
            "copy",
            {"instances": ["a", True]},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: ",
        ),
        ("copy", {"instances": ["a", ["b"]]}, "Expecting shape [] but got: [1]"),
        ("copy", {"instances": ["a", ["b", "c"]]}, "Expecting tensor size: 1 but got: 2"),
        (
            "copy",
            {"instances": ["a", {"text": "b"}]},
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            "copy",
            {"instances": [{"text": "b"}, "a"]},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            "copy",
            {"instances": [{"txt": "b"}]},
            "key: txt of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: txt",
        ),
        ("copy", {"instances": [{"text": "a", "more": 1}]}, "does not have named input: more"),
        ("copy", {"instances": [{"b64": "!"}]}, "Unable to base64 decode"),
        ("copy", {"inputs": {"texts": ["a"]}}, "Missing named input: text in 'inputs' object."),
        ("copy", {"inputs": [{"b64": 5}]}, "not formatted correctly for base64 data"),
        (
            "copy",
            {"inputs": [["a"], ["b", "c"]]},
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        ("copy", {"inputs": ["a", ["b"]]}, "Encountered list at unexpected level: 1 expected < 1"),
        (
            "copy",
            {"inputs": [["a"], "b"]},
            "found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ("pair", {"instances": [1]}, "instances is a plain list, but expecting list of objects"),
        ("pair", {"instances": [{"scale": 1.0}]}, "keys must be equal to: count,negate,scale"),
        ("pair", {"inputs": [1.0]}, "inputs is a plain value/list, but expecting an object"),
        (
            "pair",
            {"inputs": {"scale": [1.0], "count": [1]}},
            "Missing named input: negate in 'inputs' object.",
        ),
        (
            "pair",
            {"inputs": {"scale": [1.0], "count": [1.5], "negate": [True]}},
            "Type: Number is not of expected type: int64",
        ),
        (
            "pair",
            {"inputs": {"scale": [1.0], "count": [2**63], "negate": [True]}},
            "is not of expected type: int64",
        ),
        (
            "pair",
            {"inputs": {"scale": [1.0], "count": [1], "negate": [1]}},
            "JSON Value: 1 Type: Number is not of expected type: bool",
        ),
        (
            "pair",
            {"inputs": {"scale": ["x"], "count": [1], "negate": [True]}},
            "is not of expected type: float",
        ),
        (
            "pair",
            {"inputs": {"scale": [True], "count": [1], "negate": [True]}},
            "JSON Value: true Type: True is not of expected type: float",
        ),
        (
            "pair",
            {"inputs": {"scale": [2**24 + 1], "count": [1], "negate": [True]}},
            "to float without loss of precision.",
        ),
        (
            "pair",
            {"inputs": {"scale": [1e300], "count": [1], "negate": [True]}},
            "to float without loss of precision.",
        ),
        ("slow", {"inputs": [2**31]}, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
    ],
)
def test_values_that_do_not_fit_the_signature(
    server: PreviewServer, signature: str, fields: dict[str, Any], message: str
) -> None:
    check(server, send(server, {"signature_name": signature} | fields), 400, message)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v1/models/nope:predict", 404, "Servable not found for request: Latest(nope)"),
        (
            "POST",
            "/v1/models/toy/versions/9:predict",
            404,
            "Servable not found for request: Specific(toy, 9)",
        ),
        ("POST", "/v1/models/toy/labels/nope:predict", 400, "Unrecognized servable version label: nope"),
        ("POST", f"/v1/models/toy/versions/{2**64}:predict", 400, "Failed to convert version"),
        ("GET", "/v1/models/nope", 404, "Could not find any versions of model nope"),
        ("GET", "/v1/models/toy/versions/9", 404, "Could not find version 9 of model toy"),
        ("GET", "/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/toy:predict", 400, "Malformed request: GET /v1/models/toy:predict"),
        ("POST", "/v1/models/toy", 400, "Malformed request: POST /v1/models/toy"),
        ("POST", "/v1/models/toy/versions/x:predict", 400, "Malformed request: POST"),
        ("POST", "/v1/models/toy:generate", 400, "Malformed request: POST"),
        ("DELETE", "/v1/models/toy", 400, "Malformed request: DELETE"),
        ("POST", "/v1/models/toy:classify", 501, "does not implement classify"),
    ],
)
def test_paths(server: PreviewServer, method: str, path: str, status: int, message: str) -> None:
    check(server, send(server, {"inputs": ["a"]}, path, method), status, message)


def test_paths_outside_the_api_are_not_found(server: PreviewServer) -> None:
    assert send(server, b"", "/", "GET").status_code == 404
    assert send(server, b"", "/monitoring/prometheus/metrics", "GET").status_code == 404


def test_rank_and_errors_of_the_graph(server: PreviewServer) -> None:
    check(server, send(server, {"inputs": "a"}), 400, "input 'text' has shape []")
    wrong = {"signature_name": "compiled", "inputs": [[1.0, 2.0]]}
    check(server, send(server, wrong), 400, "has shape [1, 2], but signature 'compiled' takes ['?', 3]")
    uneven = {
        "signature_name": "pair",
        "inputs": {"scale": [1.0, 2.0, 3.0], "count": [1, 2], "negate": [True, True]},
    }
    check(server, send(server, uneven), 400, "ncompatible shapes")
    response = send(server, {"inputs": ["fine", "boom"]})
    check(server, response, 400, "boom is refused")
    assert "node" not in response.json()["error"]
    assert "Graph execution error" not in response.json()["error"]


def test_outputs_that_have_no_rows(server: PreviewServer) -> None:
    scalar = {"signature_name": "scalar", "instances": ["a"]}
    check(server, send(server, scalar), 400, "Tensor name: rows has no shape information")
    assert send(server, {"signature_name": "scalar", "inputs": ["a", "b"]}).json() == {"outputs": 2}
    empty = send(server, {"signature_name": "copy", "inputs": []})
    assert empty.json() == {"outputs": []}


def test_a_request_that_takes_too_long(start: Any, toy_versions: Any) -> None:
    server = start(model_name="toy", model_base_path=toy_versions, rest_api_timeout_in_ms=500)
    response = send(server, {"signature_name": "slow", "inputs": [3_000_000]})
    assert response.status_code == 504, response.text
    assert "Timed out waiting for notification" in response.json()["error"]
    # Where TensorFlow has a single thread, the abandoned work still holds it for a while.
    answers = (send(server, {"inputs": ["a"]}).status_code for _ in range(60))
    assert 200 in answers
