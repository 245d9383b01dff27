"""Answers in pieces from a server, over REST and gRPC: ids, texts and ends are those of one call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from exporter.cli.summary import facts
from exporter.client import Client, GrpcClient, RestClient
from exporter.deployment import write_serving_configs
from exporter.exporting.pipeline import ExportResult, export
from exporter.generation.rows import ROW_FIELDS, row_fields
from exporter.options import make_options
from exporter.preview import PreviewServer, ServerConfig, files_beside
from exporter.request_examples import example_inputs
from tests.conftest import ROOT
from tests.docs.signatures import differences

pytestmark = [pytest.mark.end_to_end, pytest.mark.full]

LONGEST, MOST, PIECE, IDS = 16, 12, 5, 2
STOPS = ["little rabbit", " house", "He lived"]
OPTIONS: dict[str, Any] = {
    "model": "demo:stories",
    "prefix_text": "Once upon a time, there was a story. ",
    "max_new_tokens": MOST,
    "prompt_lengths": [LONGEST],
    "batch_sizes": [8],
    "extra_signatures": ["generate_tokens", "resume"],
    "resume_piece": PIECE,
    "row_token_ids": IDS,
    "generation": {"stop_strings": STOPS, "no_repeat_ngram_size": 3},
    "warmup": "none",
    "verify": "none",
}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """Behind a baked prefix, stopping at strings of several tokens."""
    return export(make_options(OPTIONS), tmp_path_factory.mktemp("pieces"))


@pytest.fixture(scope="module")
def server(version: ExportResult) -> Iterator[PreviewServer]:
    out = version.directory.parent.parent
    write_serving_configs(out)
    config = out / "serving" / "models.config"
    # Nothing is warmed up: the first answer of each signature waits for its compilation.
    files = files_beside(config) | {"rest_api_timeout_in_ms": 600_000}
    with PreviewServer(ServerConfig(model_config_file=config, rest_port=0, grpc_port=0, **files)) as running:
        yield running


@pytest.fixture(params=["rest", "grpc"])
def client(request: pytest.FixtureRequest, server: PreviewServer) -> Iterator[Any]:
    made: Any = (
        RestClient(server.rest_url, "stories", timeout=600.0)
        if request.param == "rest"
        else GrpcClient(server.grpc_target, "stories", timeout=600.0)
    )
    with made:
        yield made


def _padded(rows: list[list[int]], width: int) -> np.ndarray:
    return np.array([row + [0] * (width - len(row)) for row in rows], np.int32)


def _ids(client: Any, texts: list[str]) -> list[list[int]]:
    found = client.predict("encode", {"text": texts})
    counts = np.asarray(found["num_tokens"])
    return [row[:count].tolist() for row, count in zip(np.asarray(found["input_ids"]), counts, strict=True)]


def test_the_summary_counts_the_compilations_of_every_program(version: ExportResult) -> None:
    """``resume`` has a length more, for prompts with their answers."""
    known = facts(version, make_options(OPTIONS))
    assert known["programs"] == {"tokens": 1, "generate_tokens": 1, "resume": 2}
    assert known["compilations"] == 4


def test_pieces_are_the_whole_over_the_network(client: Any) -> None:
    prompts = _ids(client, ["The fox", "Ben had a dog", "She was a little", "One day", "a", "He liv"])
    inputs: dict[str, Any] = {
        "input_ids": _padded(prompts, LONGEST),
        "num_tokens": np.array([len(prompt) for prompt in prompts], np.int32),
    }
    for name, field in row_fields(extras=True).items():
        inputs[name] = np.asarray(field.off(len(prompts), IDS))
    inputs |= {
        "max_new_tokens": np.array([MOST, MOST, 7, MOST, 9, MOST], np.int32),
        "temperature": np.array([0, 1.2, 0, 0.8, 1.5, 0], np.float32),
        "repetition_penalty": np.array([1, 1.2, 1.3, 1, 1, 1], np.float32),
        "seed": np.arange(6, dtype=np.int64),
    }
    assert set(ROW_FIELDS) < set(inputs)
    whole = client.predict("generate_tokens", inputs)
    assert {b"stop", b"length"} == set(whole["finish_reason"])

    rng = np.random.default_rng(1)
    done: list[list[int]] = [[] for _ in prompts]
    texts, reasons = [b""] * 6, [b""] * 6
    while b"" in reasons:
        inputs["generated_ids"] = _padded(done, MOST)
        inputs["num_generated"] = np.array([len(ids) for ids in done], np.int32)
        inputs["piece_tokens"] = rng.integers(1, PIECE + 1, 6).astype(np.int32)
        piece = client.predict("resume", inputs)
        assert list(piece["error"]) == [b""] * 6
        for row, count in enumerate(np.asarray(piece["num_tokens"])):
            # An answer that has ended is answered by nothing more, and its end again.
            assert reasons[row] in (b"", piece["finish_reason"][row])
            assert not reasons[row] or (count == 0 and piece["generated_text"][row] == b"")
            done[row] += np.asarray(piece["generated_ids"])[row, :count].tolist()
            texts[row] += piece["generated_text"][row]
            reasons[row] = piece["finish_reason"][row]
    counts = np.asarray(whole["num_tokens"])
    ids = np.asarray(whole["generated_ids"])
    assert done == [row[:count].tolist() for row, count in zip(ids, counts, strict=True)]
    assert texts == list(whole["generated_text"])
    assert reasons == list(whole["finish_reason"])


def test_the_printed_request_is_answered(client: Any, version: ExportResult) -> None:
    for name in ("generate_tokens", "resume"):
        columns = example_inputs(version.manifest, name)
        dtypes = {key: info.dtype for key, info in version.manifest.signatures[name].inputs.items()}
        answer = client.predict(name, {key: np.array(columns[key], dtypes[key]) for key in dtypes})
        assert list(answer["error"]) == [b""], name


def test_the_loop_of_the_page_writes_the_whole_answer(
    server: PreviewServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/how-to/streaming.md, with this version's limits."""
    page = (ROOT / "docs" / "how-to" / "streaming.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"<!-- stream -->\n```python\n(.*?)```", page, re.DOTALL)
    for ours, here in {
        "piece_tokens=8": f"piece_tokens={PIECE}",
        "max_new_tokens=24": f"max_new_tokens={MOST}",
    }.items():
        assert ours in text
        text = text.replace(ours, here)
    names: dict[str, Any] = {}
    exec(compile(text.replace("http://localhost:8501", server.rest_url), "streaming.md", "exec"), names)
    with Client(server.rest_url, "stories") as client:
        (whole,) = client.generate_tokens([names["prompt"]], max_new_tokens=MOST, temperature=0.8, seed=7)
    assert names["written"] == whole.ids
    assert capsys.readouterr().out == whole.text + "\n"


def test_signatures_are_those_documented(version: ExportResult) -> None:
    assert not differences(version.manifest)
    assert {"generate_tokens", "resume"} <= set(version.manifest.signatures)
