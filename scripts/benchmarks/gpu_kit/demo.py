"""The demo checkpoint's program, its arguments, and what the exported SavedModel answers to them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.exporting.pipeline import export
from exporter.exporting.plan import Plan, plan_export
from exporter.families import load_weights
from exporter.options import make_options
from scripts.benchmarks.gpu_kit.programs import Traced, row_values, trace

BATCH, PROMPT, NEW_TOKENS = 2, 16, 24
#: Tokens of the two prompts: one fills the bucket, one is padded.
LENGTHS = (16, 9)


@dataclass(frozen=True)
class Demo:
    """``arrays``: p0, p1, ... as parameters, and the expected outputs by their names."""

    hlo: bytes
    entry: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


def make_demo() -> Demo:
    """Exports ``demo:stories`` for the GPU, asks the version, and traces the same program with weights as
    parameters."""
    options = make_options(
        {
            "model": "demo:stories",
            "target": "gpu",
            "tokenizer": "none",
            "prompt_lengths": (PROMPT,),
            "batch_sizes": (BATCH,),
            "max_new_tokens": NEW_TOKENS,
            "extra_signatures": (),
            "warmup": "none",
            "verify": "none",
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_export(options, Path(folder))
        prompts = _prompts(plan.spec.vocab_size)
        expected = _ask(export(options, Path(folder)).directory, prompts)
    return _with_arguments(plan, prompts, expected)


def _prompts(vocab: int) -> npt.NDArray[np.int32]:
    """int32 [batch, prompt], right-padded with 0."""
    tokens = np.random.default_rng(0).integers(1, vocab, (BATCH, PROMPT)).astype(np.int32)
    tokens[np.arange(PROMPT) >= np.array(LENGTHS)[:, None]] = 0
    return tokens


def _ask(directory: Path, prompts: npt.NDArray[np.int32]) -> dict[str, npt.NDArray[Any]]:
    loaded = tf.saved_model.load(str(directory))
    answer = loaded.signatures["tokens"](
        input_ids=tf.constant(prompts), num_tokens=tf.constant(LENGTHS, tf.int32)
    )
    return {"sequences": answer["generated_ids"].numpy(), "num_tokens": answer["num_tokens"].numpy()}


def _with_arguments(
    plan: Plan, prompts: npt.NDArray[np.int32], expected: dict[str, npt.NDArray[Any]]
) -> Demo:
    weights = load_weights(plan.spec, plan.checkpoint, plan.dtype)
    traced = trace(plan.spec, weights.infos, plan.generation, BATCH, PROMPT, plan.dtype, row_options=False)
    rows = row_values(plan.generation, traced.parameters)
    left = np.stack([np.roll(row, PROMPT - length) for row, length in zip(prompts, LENGTHS, strict=True)])
    left = np.where(
        np.arange(PROMPT) < PROMPT - np.array(LENGTHS)[:, None], plan.generation.pad_token_id, left
    )
    values = {"tokens": left, "lengths": np.array(LENGTHS), "live": np.ones(BATCH, bool)}
    arrays = {}
    for number, each in enumerate(traced.parameters):
        if each["kind"] == "weight":
            value = weights[each["name"]]
        else:
            value = values[each["name"]] if each["name"] in values else np.full(BATCH, rows[each["name"]])
        arrays[f"p{number}"] = np.asarray(value, each["dtype"])
    return Demo(traced.hlo, _entry(plan, traced), arrays | expected)


def _entry(plan: Plan, traced: Traced) -> dict[str, Any]:
    return {
        "name": "demo",
        "model": "demo",
        "dtype": plan.dtype,
        "weights": "plain",
        "strategy": "greedy",
        "batch": BATCH,
        "prompt": PROMPT,
        "new_tokens": NEW_TOKENS,
        "arguments": "demo.npz",
        "parameters": traced.parameters,
        "outputs": traced.outputs,
    }
