"""The manifest: its schema, its formats, and what an export writes into it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from exporter.demo import demo_path
from exporter.errors import OutputError
from exporter.exporting.pipeline import ExportResult, export
from exporter.manifest import FORMAT, MANIFEST_PATH, SCHEMA_PATH, Manifest
from exporter.options import make_options
from scripts.make_manifest_schema import COMMAND, render
from tests.serving_configs.manifests import manifest

#: What a manifest of format 1 did not have.
ADDED = {"libraries", "programs", "measured", "sources", "files"}


def problems(facts: Any) -> list[str]:
    """What the schema in the package says against a manifest."""
    validator = Draft202012Validator(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))
    return [error.message for error in validator.iter_errors(facts)]


def stored(directory: Path, **changes: Any) -> dict[str, Any]:
    """A written manifest with some keys changed, or removed where the new value is None."""
    manifest().write(directory)
    path = directory / MANIFEST_PATH
    facts = json.loads(path.read_text()) | changes
    facts = {key: value for key, value in facts.items() if value is not None or key not in changes}
    path.write_text(json.dumps(facts))
    return dict(facts)


def test_the_schema_is_that_of_the_model() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == render(), f"run {COMMAND}"
    Draft202012Validator.check_schema(json.loads(render()))


def test_the_schema_judges_manifests(tmp_path: Path) -> None:
    assert problems(stored(tmp_path)) == []
    assert problems(stored(tmp_path, surprise=1))
    assert problems(stored(tmp_path, buckets={"prompt_lengths": "many"}))
    assert problems(stored(tmp_path, format=FORMAT + 1))


def test_format_1_is_read_and_written_anew_as_ours(tmp_path: Path) -> None:
    facts = stored(tmp_path, format=1, **dict.fromkeys(ADDED))
    assert not ADDED & set(facts)
    read = Manifest.read(tmp_path)
    assert (read.sources, read.files, read.libraries) == ((), (), None)
    assert read == manifest()
    read.write(tmp_path)
    assert json.loads((tmp_path / MANIFEST_PATH).read_text())["format"] == FORMAT


def test_a_newer_format_asks_for_an_upgrade_whatever_it_holds(tmp_path: Path) -> None:
    stored(tmp_path, format=FORMAT + 1, genserve_version="9.1", signatures="elsewhere", surprise=1)
    expected = rf"format {FORMAT + 1} was written by genserve 9\.1; .* reads up to {FORMAT}: upgrade"
    with pytest.raises(OutputError, match=expected) as caught:
        Manifest.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_of_a_known_format_is_named(tmp_path: Path) -> None:
    stored(tmp_path, bucket={}, surprise=1)
    with pytest.raises(OutputError, match=r"has no 'bucket' \(did you mean 'buckets'\?\), 'surprise'"):
        Manifest.read(tmp_path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """Greedy, with a penalty; small; and the questions that generate nothing."""
    options = {"max_new_tokens": 12, "prompt_lengths": [32], "batch_sizes": [1]}
    options |= {"extra_signatures": ["score", "next_token", "prompt_logprobs"]}
    out = tmp_path_factory.mktemp("manifest")
    chosen = make_options({"model": "demo:stories", **options, "generation": {"repetition_penalty": 1.2}})
    return export(chosen, out)


@pytest.mark.end_to_end
def test_what_an_export_writes(exported: ExportResult) -> None:
    facts = json.loads((exported.directory / MANIFEST_PATH).read_text(encoding="utf-8"))
    assert problems(facts) == []
    assert facts["format"] == FORMAT
    for key, root in {"sources": demo_path("stories"), "files": exported.directory}.items():
        listed = {entry["path"]: (entry["bytes"], entry["sha256"]) for entry in facts[key]}
        there = {
            path.relative_to(root).as_posix(): (
                path.stat().st_size,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for path in root.rglob("*")
            if path.is_file() and path != exported.directory / MANIFEST_PATH
        }
        assert {name: there.get(name) for name in listed} == listed
        expected = {"config.json", "model.safetensors", "tokenizer.json"} if key == "sources" else set(there)
        assert expected <= set(listed)
    programs = {entry["kind"]: (entry["signatures"], entry["compilations"]) for entry in facts["programs"]}
    assert programs == {
        "generation": (["tokens", "serving_default"], 1),
        "score": (["score"], 1),
        "next_token": (["next_token"], 1),
        "prompt_logprobs": (["prompt_logprobs"], 1),
    }
    assert 0 < facts["measured"]["answer_seconds"] < facts["measured"]["compile_seconds"]
    assert facts["measured"]["peak_memory_bytes"] > facts["memory"]["weights_bytes"]


@pytest.mark.end_to_end
@pytest.mark.parity
def test_margins_are_the_references(exported: ExportResult) -> None:
    """Of every step: the reference's processed scores, its best less its second."""
    import torch
    import transformers

    path = demo_path("stories")
    model = transformers.AutoModelForCausalLM.from_pretrained(path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    texts = [golden for golden in exported.manifest.golden if golden.signature == "serving_default"]
    assert len(texts) == 3
    for golden in texts:
        ids = tokenizer(golden.inputs["text"][0], return_tensors="pt")
        with torch.no_grad():
            answer = model.generate(
                **ids,
                max_new_tokens=12,
                do_sample=False,
                repetition_penalty=1.2,
                output_scores=True,
                return_dict_in_generate=True,
            )
        best = [torch.topk(scores[0], 2).values for scores in answer.scores]
        expected = [float(two[0] - two[1]) for two in best]
        assert golden.margins == pytest.approx(expected, abs=1e-3)
        text = golden.outputs["generated_text"][0]
        new = answer.sequences[0, ids["input_ids"].shape[1] :].tolist()
        assert len(golden.decided) == len(new)
        for step, count in enumerate(golden.decided):
            known = tokenizer.decode(new[:step], skip_special_tokens=True)
            assert known.startswith(text[:count])
            assert count == len(known) or not text.startswith(known)
        assert np.all(np.diff(golden.decided) >= 0)


@pytest.mark.end_to_end
@pytest.mark.parity
def test_golden_questions_are_answered_as_by_the_reference(exported: ExportResult) -> None:
    import torch
    import transformers

    path = demo_path("stories")
    model = transformers.AutoModelForCausalLM.from_pretrained(path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    golden = {answer.signature: answer for answer in exported.manifest.golden}
    ids = tokenizer(golden["next_token"].inputs["text"][0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        best = torch.topk(model(ids).logits[0, -1], 11).values
    assert golden["next_token"].margins == pytest.approx([float((best[:-1] - best[1:]).min())], abs=1e-3)
    continuation = golden["score"].inputs["continuation"][0]
    new = tokenizer(continuation, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(torch.cat([ids, new], dim=1)).logits[0, ids.shape[1] - 1 : -1]
    logprobs = torch.log_softmax(logits, dim=-1)[torch.arange(new.shape[1]), new[0]]
    assert golden["score"].outputs["score"] == pytest.approx([float(logprobs.sum())], abs=1e-3)
    assert "greedy" not in golden["score"].outputs
    assert golden["score"].not_compared
    asked = golden["prompt_logprobs"]
    count = asked.inputs["num_tokens"][0]
    ids = torch.tensor([asked.inputs["input_ids"][0][:count]])
    with torch.no_grad():
        logprobs = torch.log_softmax(model(ids).logits[0, :-1], dim=-1)[torch.arange(count - 1), ids[0, 1:]]
    expected = [0.0, *logprobs.tolist(), *[0.0] * (32 - count)]
    assert asked.outputs["logprobs"][0] == pytest.approx(expected, abs=1e-3)
