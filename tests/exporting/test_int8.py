"""Exports with weights in int8: what they weigh, and what is said of their accuracy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from exporter.demo import demo_path
from exporter.errors import OptionError
from exporter.exporting.accuracy import TEXTS, measure_accuracy
from exporter.exporting.plan import Plan, plan_export
from exporter.exporting.tokenizers import Tokenizers, compile_tokenizers
from exporter.families import load_weights
from exporter.families.int8 import Int8Weights
from exporter.model import build_model
from exporter.options import make_options

LINE = "The cat sat on the mat, and the dog sat on the cat."


def _plan(tmp_path: Path, model: str = "demo:stories", **values: Any) -> Plan:
    return plan_export(make_options({"model": model, "weights": "int8", **values}), tmp_path)


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", ["demo:stories", "demo:translate"])
def test_the_plan_knows_every_byte(tmp_path: Path, model: str, dtype: str, tables: bool) -> None:
    plan = _plan(tmp_path, model, dtype=dtype, int8_tables=tables)
    stored = Int8Weights(load_weights(plan.spec, plan.checkpoint, dtype), tables=tables)
    assert plan.memory.weights_bytes == sum(array.nbytes for array in stored.values())
    plain = plan_export(make_options({"model": model, "dtype": dtype}), tmp_path)
    assert plan.memory.weights_bytes < plain.memory.weights_bytes


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Tokenizers]:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(f"{LINE}\n\n")
    plan = _plan(path.parent, accuracy_text=path, dtype="float32")
    return plan, compile_tokenizers(plan)


def test_perplexity_is_the_references(compiled: tuple[Plan, Tokenizers]) -> None:
    plan, tokenizers = compiled
    weights = load_weights(plan.spec, plan.checkpoint, plan.dtype)
    stored = Int8Weights(weights, tables=False)
    found = measure_accuracy(
        plan, tokenizers, lambda: build_model(plan.spec, weights), lambda: build_model(plan.spec, stored)
    )
    model = AutoModelForCausalLM.from_pretrained(demo_path("stories"), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(demo_path("stories"))
    losses: list[float] = []
    for text in (*TEXTS, LINE):
        whole = tokenizer(text)["input_ids"]
        for start in range(0, len(whole), 128):
            ids = torch.tensor([whole[start : start + 128]])
            with torch.no_grad():
                scores = model(ids).logits[0, :-1].log_softmax(-1)
            losses += [-float(scores[at, token]) for at, token in enumerate(ids[0, 1:])]
    assert found.tokens == len(losses)
    assert found.perplexity_plain == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    assert found.perplexity == pytest.approx(found.perplexity_plain, rel=0.02)
    assert 0.9 < found.token_match < 1
    assert 0 < found.logit_error < 0.05


def _unread() -> Any:
    pytest.fail("no model is needed to refuse a text")


@pytest.mark.parametrize(("content", "words"), [(b"\xff", "cannot be read"), (b"\n \n", "holds no text")])
def test_a_text_that_is_none(
    compiled: tuple[Plan, Tokenizers], tmp_path: Path, content: bytes, words: str
) -> None:
    plan, tokenizers = compiled
    (tmp_path / "t").write_bytes(content)
    plan = _plan(tmp_path, accuracy_text=tmp_path / "t")
    with pytest.raises(OptionError, match=f"accuracy_text: .*{words}"):
        measure_accuracy(plan, tokenizers, _unread, _unread)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"int8_tables": True}, "int8_tables needs weights 'int8', got weights 'plain'"),
        ({"accuracy_text": "a.txt"}, "accuracy_text needs weights 'int8'"),
        (
            {"accuracy_text": "a.txt", "weights": "int8", "tokenizer": "none"},
            "accuracy_text needs a tokenizer",
        ),
        ({"weights": "int4"}, "weights: Input should be 'plain' or 'int8', got 'int4'"),
    ],
)
def test_options_that_do_not_go_together(values: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make_options({"model": "m", **values})
