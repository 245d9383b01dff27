"""The demo export behind the preview server: REST and gRPC answer as the reference does, bad input too."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from exporter.cli import app
from exporter.client import Client, GrpcClient, RequestError, RestClient
from exporter.demo import demo_path
from exporter.deployment import write_serving_configs
from exporter.exported_report import inspect_version
from exporter.exporting.pipeline import ExportResult
from exporter.loadtest.load_report import LoadReport
from exporter.preview import PreviewServer, ServerConfig, files_beside
from exporter.verification.live import verify_server
from serving_configs.server_files import METRICS_PATH
from tests.reference import Reference

pytestmark = pytest.mark.end_to_end

PROMPTS = ["Once upon a time", "1, 2, 3,", "The", "Question: how many", "a b c d e f g h i j k l m n o p q"]


@pytest.fixture(scope="module")
def server(stories: ExportResult) -> Iterator[PreviewServer]:
    out = stories.directory.parent.parent
    write_serving_configs(out)
    config = out / "serving" / "models.config"
    with PreviewServer(
        ServerConfig(model_config_file=config, rest_port=0, grpc_port=0, **files_beside(config))
    ) as running:
        yield running


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    """What PyTorch transformers continues each prompt with."""
    reference = Reference(demo_path("stories"))
    continuations = {}
    for prompt in PROMPTS:
        answer = reference.greedy(reference.encode(prompt), 16)
        continuations[prompt] = reference.tokenizer.decode(answer.ids, skip_special_tokens=True)
    return continuations


@pytest.fixture(params=["rest", "grpc"])
def client(request: pytest.FixtureRequest, server: PreviewServer) -> Iterator[Any]:
    made: Any = (
        RestClient(server.rest_url, "stories")
        if request.param == "rest"
        else GrpcClient(server.grpc_target, "stories")
    )
    with made:
        yield made


def _texts(outputs: dict[str, Any], name: str = "generated_text") -> list[str]:
    return [value.decode() for value in outputs[name]]


@pytest.mark.parity
def test_greedy_text_equals_the_reference(client: Any, expected: dict[str, str]) -> None:
    for prompt in PROMPTS:  # alone, then together
        assert _texts(client.predict("serving_default", {"text": [prompt]})) == [expected[prompt]]
    together = client.predict("serving_default", {"text": PROMPTS[:4]})
    assert _texts(together) == [expected[prompt] for prompt in PROMPTS[:4]]
    assert set(_texts(together, "finish_reason")) <= {"stop", "length"}


def test_encode_tokens_decode_is_text_to_text(client: Any, expected: dict[str, str]) -> None:
    encoded = client.predict("encode", {"text": PROMPTS[:2]})
    ids = np.zeros([2, 48], np.int32)
    given = np.asarray(encoded["input_ids"])
    ids[:, : given.shape[1]] = given
    generated = client.predict("tokens", {"input_ids": ids, "num_tokens": np.asarray(encoded["num_tokens"])})
    wide = np.zeros([2, 64], np.int32)
    wide[:, :16] = np.asarray(generated["generated_ids"])
    decoded = client.predict("decode", {"input_ids": wide, "num_tokens": np.asarray(generated["num_tokens"])})
    assert _texts(decoded, "text") == [expected[prompt] for prompt in PROMPTS[:2]]


def test_bad_rows_answer_beside_good_ones(client: Any, expected: dict[str, str]) -> None:
    rows = [PROMPTS[0], b"\xff\xfe", "", "word " * 200]
    answer = client.predict("serving_default", {"text": rows})
    assert _texts(answer) == [expected[PROMPTS[0]], "", "", ""]
    assert _texts(answer, "finish_reason")[1:] == ["error"] * 3
    assert np.asarray(answer["num_tokens"]).tolist()[1:] == [0, 0, 0]
    errors = _texts(answer, "error")
    assert errors[:3] == ["", "text: not valid UTF-8", "text: the prompt is empty; allowed: 1 to 48 tokens"]
    assert errors[3].startswith("text: the prompt has ")


@pytest.mark.parametrize(
    ("signature", "inputs", "code"),
    [
        ("serving_default", {}, "INVALID_ARGUMENT"),
        ("serving_default", {"txt": ["a"]}, "INVALID_ARGUMENT"),
        ("serving_default", {"text": [1]}, "INVALID_ARGUMENT"),
        ("tokens", {"input_ids": [[1, 2, 3]], "num_tokens": [3]}, "INVALID_ARGUMENT"),
        ("no_such_signature", {"text": ["a"]}, None),
    ],
)
def test_malformed_requests_are_refused_and_the_next_one_is_answered(
    client: Any, expected: dict[str, str], signature: str, inputs: dict[str, Any], code: str | None
) -> None:
    with pytest.raises(RequestError) as caught:
        client.predict(signature, {name: _column(value) for name, value in inputs.items()})
    assert code is None or caught.value.code == code
    assert _texts(client.predict("serving_default", {"text": ["The"]})) == [expected["The"]]


def _column(value: list[Any]) -> Any:
    return value if isinstance(value[0], str) else np.asarray(value, np.int32)


def test_rest_speaks_rows_and_columns(server: PreviewServer, expected: dict[str, str]) -> None:
    url = f"{server.rest_url}/v1/models/stories"
    rows = httpx.post(f"{url}:predict", json={"instances": ["The", "1, 2, 3,"]}).json()["predictions"]
    columns = httpx.post(f"{url}/versions/1:predict", json={"inputs": {"text": ["The", "1, 2, 3,"]}}).json()
    assert [row["generated_text"] for row in rows] == columns["outputs"]["generated_text"]
    assert rows[0]["generated_text"] == expected["The"]
    status = httpx.get(url).json()["model_version_status"]
    assert [(entry["version"], entry["state"]) for entry in status] == [("1", "AVAILABLE")]
    assert "serving_default" in httpx.get(f"{url}/metadata").text
    assert httpx.post(f"{url}:predict", content=b"{").status_code == 400
    assert httpx.get(f"{server.rest_url}/v1/models/none").status_code == 404


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_the_golden_answers_against_a_live_server(
    server: PreviewServer, stories: ExportResult, protocol: str
) -> None:
    url = server.rest_url if protocol == "rest" else f"grpc://{server.grpc_target}"
    with Client(url, "stories", version=1) as client:
        report = verify_server(stories.directory, client, url)
    assert [check.status for check in report.checks] == ["passed"] * 3, report.checks


def test_every_printed_request_is_answered(server: PreviewServer, stories: ExportResult) -> None:
    """With curl's own words: URL and body as ``genserve inspect`` prints them."""
    report = inspect_version(stories.directory)
    lines = [line.strip() for line in str(report).splitlines() if line.startswith("  curl ")]
    assert len(lines) == len(stories.manifest.signatures)
    for line in lines:
        _, _, url, _, body = shlex.split(line)
        answer = httpx.post(url.replace("http://localhost:8501", server.rest_url), content=body, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"]["error"] == [""], line


@pytest.mark.parametrize("place", ["--url", "--grpc"])
def test_a_load_test_counts_what_the_server_counts(
    server: PreviewServer, stories: ExportResult, place: str
) -> None:
    page = server.rest_url + METRICS_PATH
    where = {"--url": server.rest_url, "--grpc": server.grpc_target}[place]
    arguments = ["bench", place, where, "--model", "stories", "--manifest", str(stories.directory), "--json"]
    load = ["--concurrency", "4", "--requests", "24", "--warmup", "4", "--metrics", page]
    result = CliRunner().invoke(app, [*arguments, *load])
    assert result.exit_code == 0, (result.output, result.exception)
    report = LoadReport.model_validate_json(result.stdout)
    assert (report.requests.answered, report.requests.with_row_errors, report.errors) == (24, 0, ())
    assert [row.bucket for row in report.buckets] == [16, 48]
    assert report.prompts.tokens is not None
    assert 1 <= report.prompts.tokens.min <= report.prompts.tokens.max <= 48
    (side,) = report.server
    assert side.statuses == {"OK": 24}
    assert report.latency is not None
    assert side.request_seconds is not None
    assert side.request_seconds <= report.latency.mean
    generated = sum((row.generated_tokens or 0) * row.requests for row in report.buckets)
    assert report.throughput.generated_tokens_per_second == pytest.approx(generated / report.seconds)
