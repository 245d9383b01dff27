"""The clients alone: what they send, and what they make of answers that no model server gives."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from datetime import date
from typing import Any

import numpy as np
import pytest

import exporter
from exporter.client import (
    Client,
    Completion,
    GrpcClient,
    RequestError,
    RestClient,
    ServingError,
    generate,
)
from exporter.client.rest import from_json, to_json
from tests.client.stubs import HttpStub
from tests.conftest import ROOT


def test_what_a_predict_request_looks_like(stub: HttpStub) -> None:
    stub.answer = (200, b'{"outputs": {"a": ["x"], "n": [1]}}')
    client = RestClient(stub.url + "/prefix/", "my model", label="a/b", token="secret")
    outputs = client.predict("sig", {"text": ["é", b"\xff"], "n": np.array([[1, 2]], np.int32)})
    method, path, headers, body = stub.requests[0]
    assert (method, path) == ("POST", "/prefix/v1/models/my%20model/labels/a%2Fb:predict")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "signature_name": "sig",
        "inputs": {"text": ["é", {"b64": "/w=="}], "n": [[1, 2]]},
    }
    assert outputs["a"].tolist() == [b"x"]
    assert outputs["n"].tolist() == [1]


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (400, b'{"error": "no such input"}', "INVALID_ARGUMENT", "no such input"),
        (404, b'{"error": "gone"}', "NOT_FOUND", "gone"),
        (503, b'{"error": "full"}', "UNAVAILABLE", "full"),
        (504, b'{"error": "late"}', "DEADLINE_EXCEEDED", "late"),
        (502, b"<html>Bad Gateway</html>", "UNAVAILABLE", "<html>Bad Gateway</html>"),
        (418, b"", "UNKNOWN", ""),
        (200, b"not json", "UNKNOWN", "not json"),
        (200, b"[1]", "UNKNOWN", "[1]"),
    ],
)
def test_errors_and_strange_answers(
    stub: HttpStub, status: int, body: bytes, code: str, message: str
) -> None:
    stub.answer = (status, body)
    with pytest.raises(RequestError) as caught:
        RestClient(stub.url, "m").status()
    error = caught.value
    assert (error.code, error.message, error.http_status) == (code, message, status)
    assert isinstance(error, ServingError)
    assert error.exit_code == 7


def test_bytes_go_as_they_are_and_the_rest_is_refused(stub: HttpStub) -> None:
    client = RestClient(stub.url, "m")
    for wrong, words in (
        ("a\ud800", r"no Unicode: it holds '\\ud800'"),
        (date(2020, 1, 1), "as JSON: .* date"),
    ):
        with pytest.raises(RequestError, match=words) as caught:
            client.predict("generate", {"text": [wrong]})
        assert caught.value.code == "INVALID_ARGUMENT"
    stub.answer = (200, b'{"outputs": {"a": ["x"]}}')
    client.predict("generate", {"text": ["a\udcff"]})
    ((*_, body),) = stub.requests
    assert b'"a\xff"' in body


def test_no_answer(stub: HttpStub) -> None:
    stub.release.clear()
    with pytest.raises(RequestError, match="no answer from") as caught:
        RestClient(stub.url, "m", timeout=0.2).status()
    assert caught.value.code == "DEADLINE_EXCEEDED"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(RequestError) as caught:
        RestClient(f"http://127.0.0.1:{port}", "m").status()
    assert caught.value.code == "UNAVAILABLE"
    with pytest.raises(RequestError) as caught:
        RestClient("http://", "m").status()
    assert caught.value.code == "UNAVAILABLE"
    with pytest.raises(RequestError) as caught:
        GrpcClient(f"127.0.0.1:{port}", "m", timeout=5).status()
    assert caught.value.code == "UNAVAILABLE"


def test_version_and_label_exclude_each_other() -> None:
    for kind, target in ((RestClient, "http://x"), (GrpcClient, "x:1")):
        with pytest.raises(ValueError, match="a version or a label, not both"):
            kind(target, "m", version=1, label="a")  # type: ignore[operator]


class Fake:
    """A client that answers from a function."""

    def __init__(self, **columns: Any) -> None:
        self.columns = columns
        self.calls: list[dict[str, Any]] = []

    def predict(self, signature: str, inputs: Any) -> dict[str, np.ndarray]:
        self.calls.append(dict(inputs))
        rows = len(inputs["text"])
        return {name: np.array(values[:rows], object) for name, values in self.columns.items()}


def test_completions_of_several_sequences() -> None:
    fake = Fake(
        generated_text=[[b"a", b"b"], [b"", b""]],
        num_tokens=[[1, 2], [0, 0]],
        finish_reason=[[b"stop", b"length"], [b"error", b"error"]],
        error=[[b"", b""], [b"text is empty", b"text is empty"]],
    )
    first, second = generate(fake, ["p", ""])
    assert first == Completion("p", ("a", "b"), (1, 2), ("stop", "length"), "")
    assert first.text == "a"
    assert second.error == "text is empty"


def test_further_inputs_are_split_with_their_prompts() -> None:
    fake = Fake(generated_text=[b"x"] * 2)
    completions = generate(fake, ["a", "b", "c"], inputs={"seed": [1, 2, 3]}, rows_per_request=2)
    assert fake.calls == [{"text": ["a", "b"], "seed": [1, 2]}, {"text": ["c"], "seed": [3]}]
    assert [item.finish_reasons for item in completions] == [()] * 3
    assert generate(fake, []) == []


def test_a_signature_that_generates_nothing() -> None:
    with pytest.raises(ServingError, match="'encode' answers input_ids, not generated_text"):
        generate(Fake(input_ids=[[1]]), ["a"], signature="encode")


def test_json_of_numpy_and_back() -> None:
    assert to_json({"a": np.float32(0.5), "b": (b"\x00", "x"), "c": np.array([True])}) == {
        "a": 0.5,
        "b": [{"b64": "AA=="}, "x"],
        "c": [True],
    }
    assert from_json([[1, 2], [3, 4]]).shape == (2, 2)
    assert from_json([{"b64": "AA=="}]).tolist() == [b"\x00"]
    assert from_json([0, 2**63 + 1]).tolist() == [0, 2**63 + 1]
    assert from_json(["a\x00"]).tolist() == [b"a\x00"]


@pytest.mark.parametrize(
    ("made", "others"),
    [
        ("Client('http://x', 'm')", "grpc"),
        ("Client('grpc://x:1', 'm')", "httpx"),
        ("Completion", "grpc httpx numpy.f2py"),
    ],
)
def test_a_client_loads_its_own_protocol_alone(made: str, others: str) -> None:
    heavy = {"tensorflow", "tensorflow_serving", "transformers", "keras", "pydantic", *others.split()}
    code = f"import sys; from exporter.client import *; {made}; print(*sorted({heavy!r} & set(sys.modules)))"
    code = code.replace("import *", f"import {made.partition('(')[0]}")
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.split() == []


def test_import_exporter_loads_nothing() -> None:
    code = "import sys; old = set(sys.modules); import exporter; print(*sorted(set(sys.modules) - old))"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    packages = {name.partition(".")[0] for name in result.stdout.split()} - set(sys.stdlib_module_names)
    assert packages == {"exporter"}
    with pytest.raises(AttributeError, match="module 'exporter' has no attribute 'Clint'"):
        exporter.Clint  # noqa: B018
    assert exporter.Client is Client
