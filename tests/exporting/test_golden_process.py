"""The process that asks for the golden answers: its failures, and how much it asks of large models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import transformers

from exporter.errors import VerificationError
from exporter.exporting.golden import (
    GOLDEN_TOKENS,
    GoldenJob,
    golden_tokens,
    job_from_json,
    job_to_json,
)
from exporter.exporting.golden_process import golden_answers
from exporter.families import read_spec
from exporter.generation.generation_options import GenerationOptions
from exporter.options import make_options
from exporter.xla_memory import sparing_memory
from tests.families.cases import FAMILIES, FamilyCases

GB = 1 << 30


def job() -> GoldenJob:
    spec = read_spec({"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1, "vocab_size": 16})
    options = make_options({"model": "m"})
    return GoldenJob(spec, options, GenerationOptions(), "float32", None, (), (), ())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_a_job_of_any_model_travels_whole(family: FamilyCases) -> None:
    for case in family.cases:
        config = getattr(transformers, family.config_class)(**{**family.base, **case.config})
        spec = read_spec({**config.to_dict(), "architectures": None})
        whole = replace(job(), spec=spec)
        assert job_from_json(job_to_json(whole)) == whole


def test_an_end_without_an_answer_is_an_error(tmp_path: Path) -> None:
    """As where memory does not suffice; here nothing can be loaded."""
    with pytest.raises(VerificationError, match=r"ended with code 1: .*SavedModel file does not exist"):
        golden_answers(job(), tmp_path, {})


def test_large_models_are_asked_for_less() -> None:
    assert golden_tokens(500 << 20) == 16
    assert golden_tokens(3 << 20) == GOLDEN_TOKENS
    assert golden_tokens(100 * GB) == golden_tokens(1000 * GB) == 4


def test_only_large_half_precision_models_are_computed_sparingly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    assert sparing_memory("float32", 5 * GB) == sparing_memory("bfloat16", 1 << 20) == {}
    flags = sparing_memory("float16", GB)["XLA_FLAGS"]
    assert flags.startswith("--xla_dump_to=x --")
    assert "while-loop-invariant-code-motion" in flags
