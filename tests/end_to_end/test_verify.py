"""``genserve verify``: a good version passes every check, a bad one fails the right one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from exporter.exporting.pipeline import ExportResult, export
from exporter.manifest import Manifest
from exporter.options import make_options
from exporter.verification import Report, verify
from exporter.verification.foreign_process import graph_checks

pytestmark = pytest.mark.end_to_end


def statuses(report: Report) -> dict[str, str]:
    return {check.name: check.status for check in report.checks}


def test_a_good_version(stories: ExportResult) -> None:
    report = verify(stories.directory)
    assert set(statuses(report).values()) == {"passed"}, report.checks
    found = {check.name: check.detail for check in report.checks}
    records = stories.manifest.warmup.records
    assert found["compilations"] == f"8 in {records} warmup records, none after"  # 2 programs, 4 buckets
    assert found["signatures"].startswith("decode, encode, generate, tokens")
    report.check()


@pytest.fixture
def copied(stories: ExportResult, tmp_path: Path) -> Path:
    target = tmp_path / "stories" / "1"
    shutil.copytree(stories.directory, target)
    return target


def _graph(directory: Path) -> dict[str, tuple[str, str]]:
    graph = graph_checks(directory, Manifest.read(directory), warmup=False, texts=[])
    return {check.name: (check.status, check.detail) for check in graph.checks}


def test_a_graph_with_an_op_that_no_server_has(copied: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    path = copied / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    graph = model.meta_graphs[0].graph_def
    graph.node.add(name="magic", op="MagicTokenizer")
    graph.node.add(name="path", op="Const").attr["value"].tensor.string_val.append(
        b"/home/somebody/vocab.txt"
    )
    path.write_bytes(model.SerializeToString())
    found = _graph(copied)
    assert found["ops"] == ("failed", "MagicTokenizer is in no stock TensorFlow Serving")
    assert found["paths"] == ("failed", "'/home/somebody/vocab.txt' stands in the graph")
    assert found["load"][0] == "failed"
    assert "MagicTokenizer" in found["load"][1]
    assert found["golden answers"] == ("failed", "not reached")


@pytest.mark.full
@pytest.mark.parametrize("name", ["variables/variables.data-00000-of-00001", "saved_model.pb"])
def test_damaged_files_fail_however_they_load(copied: Path, name: str) -> None:
    path = copied / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    report = verify(copied, warmup=False)
    assert {"files"} <= {check.name for check in report.failed}
    assert "golden answers" in {check.name for check in report.failed}


@pytest.mark.full
@pytest.mark.parametrize(
    "options",
    [
        {"generation": {"do_sample": True, "temperature": 0.7}},
        {"generation": {"do_sample": True, "seed": 3}},
        {"generation": {"do_sample": True}, "extra_signatures": []},
        {"generation": {"num_beams": 3}, "extra_signatures": ["score", "next_token", "prompt_logprobs"]},
        {
            "tokenizer": "none",
            "generation": {"logprobs": 2},
            "extra_signatures": ["prompt_logprobs"],
        },
        {"split_by_length": True, "warmup": "minimal"},
        {
            "max_new_tokens": 70,
            "prompt_lengths": [16],
            "extra_signatures": [],
            "signatures": {
                "story": {"do_sample": True, "seed": 5, "num_return_sequences": 2},
                "searched": {"num_beams": 2},
                "fresh": {"do_sample": True},
            },
        },
    ],
    ids=["drawn", "seeded", "drawn only", "beams", "tokens", "split", "presets that end early"],
)
def test_every_kind_of_export_can_be_verified(tmp_path: Path, options: dict[str, Any]) -> None:
    small = {"max_new_tokens": 6, "prompt_lengths": [16, 32], "batch_sizes": [1, 2]}
    result = export(make_options({"model": "demo:stories", **small, **options}), tmp_path)
    report = verify(result.directory)
    assert report.failed == ()
    assert report.golden_answers > 0
    assert {"golden answers", "compilations", "batches"} <= {
        name for name, status in statuses(report).items() if status == "passed"
    }
    asked = {golden.signature for golden in result.manifest.golden}
    extra = set(options.get("extra_signatures", ())) | set(options.get("signatures", ()))
    assert extra <= asked
    for golden in result.manifest.golden:
        assert golden.margins or golden.unsure or golden.not_compared, golden
