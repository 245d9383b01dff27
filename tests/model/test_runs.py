"""Equal layers as one loop: the same answers as one after the other, in a graph as large for any depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.generation import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt
from exporter.model import Transformer
from exporter.stacks import Run, find_runs, runs_of
from exporter.targets import compiled_for
from tests.generation.hlo import loops, parse, uncounted_loops
from tests.model.toys import BORROWED, CONFIGS, PARTS, SIZES, VOCAB, prompt_of, random_model, stacked

PROMPTS = [[5, 9, 2, 44, 17, 3, 8], [7]]
T5: dict[str, Any] = {
    "model_type": "t5",
    "vocab_size": VOCAB,
    "d_model": 16,
    "d_kv": 4,
    "d_ff": 24,
    "num_layers": 3,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
MIXTURE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    **SIZES,
    "num_hidden_layers": 4,
    "decoder_sparse_step": 2,
    "moe_intermediate_size": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "head_dim": 4,
}
#: Config and the runs that its decoder has.
KINDS: dict[str, tuple[dict[str, Any], tuple[Run, ...]]] = {
    "rotary": ({**CONFIGS["rotary"], "num_hidden_layers": 3}, (Run(0, 1, 3),)),
    "window": ({**CONFIGS["window"], "num_hidden_layers": 3}, (Run(0, 1, 3),)),
    "alternating windows": (
        {**CONFIGS["alternating windows"], "num_hidden_layers": 5},
        (Run(0, 2, 2), Run(4, 1, 1)),
    ),
    "dense and mixture": (MIXTURE, (Run(0, 2, 2),)),
    "latent": ({**CONFIGS["latent"], "num_hidden_layers": 3}, (Run(0, 1, 3),)),
    "borrowed": (
        BORROWED,
        (Run(0, 1, 1), Run(1, 1, 1), Run(2, 1, 1), Run(3, 1, 3), Run(6, 1, 1)),
    ),
    "several parts": (PARTS, (Run(0, 1, 1), Run(1, 1, 1), Run(2, 1, 1), Run(3, 1, 2))),
    "encoder-decoder": (T5, (Run(0, 1, 3),)),
}


@pytest.mark.parametrize(
    ("kinds", "runs"),
    [
        ("aaaa", (Run(0, 1, 4),)),
        ("abab", (Run(0, 2, 2),)),
        ("aabaabaa", (Run(0, 3, 2), Run(6, 1, 2))),
        ("abbb", (Run(0, 1, 1), Run(1, 1, 3))),
        ("abc", (Run(0, 1, 1), Run(1, 1, 1), Run(2, 1, 1))),
    ],
)
def test_runs(kinds: str, runs: tuple[Run, ...]) -> None:
    assert find_runs(kinds) == runs
    names = [f"{name}mlp.up.kernel" for run in runs for name in run.names()]
    assert runs_of(["head.kernel", *names], len(kinds)) == runs


def prompt_for(model: Transformer) -> Prompt:
    own = prompt_of(PROMPTS, 7)
    if model.spec.encoder is None:
        return own
    return asked(model, tf.constant([PROMPTS[0], [7] + [0] * 6]), own.lengths)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_loop_says_what_unrolled_layers_say(kind: str) -> None:
    config, runs = KINDS[kind]
    model = random_model(config)
    loop = stacked(model)
    assert runs_of(loop.weights, len(loop.layers)) == runs
    assert len(loop.weights) < len(model.weights)
    found = []
    for each in (model, loop):
        first, cache = each.prefill(prompt_for(each), max_new_tokens=9)
        every, _ = each.prefill(prompt_for(each), max_new_tokens=9, logits="all")
        logits = [first, every]
        for step in range(7):  # more than the rings of small windows hold
            more, cache = each.extend(tf.constant([[step], [9]]), cache)
            logits.append(more)
        cache = each.prefill(prompt_for(each), max_new_tokens=9)[1].expand(2).per_row(2)
        _, cache = each.extend(tf.constant([[1, 2], [3, 4], [5, 6], [7, 8]]), cache)
        cache = cache.truncate(tf.constant([0, 1, 2, 1])).reorder(tf.constant([1, 0, 2, 2]))
        found.append([*logits, each.extend(tf.constant([[1], [2], [3], [4]]), cache)[0]])
    for ours, expected in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5 * np.ptp(expected), rtol=0)


@pytest.mark.parametrize(
    ("kind", "stacks"),
    [
        ("alternating windows", 6),  # keys and values of three stacks
        ("latent", 1),
        ("borrowed", 6),  # those of the three layers that have some
    ],
)
def test_a_prefix_is_baked_into_stacks(kind: str, stacks: int) -> None:
    model = random_model(KINDS[kind][0])
    loop = stacked(model)
    found = []
    for each in (model, loop):
        each.bake_prefix([11, 12, 13, 14, 15, 16])
        prompt = prompt_of([[11, 12, 13, 14, 15, 16, *PROMPTS[0]], [11, 12, 13, 14, 15, 16, 7]], 13)
        first, cache = each.prefill(prompt, max_new_tokens=4)
        found.append([first, each.extend(tf.constant([[3], [9]]), cache)[0]])
    assert len(loop.prefix) == stacks + 1, "and the last token's state"
    assert all(variable.name.count(":") == 1 for variable in loop.prefix.values()), "or nothing saves it"
    for ours, expected in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5 * np.ptp(expected), rtol=0)


def asked(model: Transformer, tokens: tf.Tensor, lengths: tf.Tensor) -> Prompt:
    """A prompt of these tokens; of an encoder's, the decoder begins with token 0."""
    if model.spec.encoder is None:
        return Prompt(tokens, lengths)
    ones = tf.ones_like(lengths)
    return Prompt(0 * ones[:, tf.newaxis], ones, encoder_tokens=tokens, encoder_lengths=lengths)


def compiled_search(model: Transformer, **options: Any) -> Any:
    """A compiled search for the gpu target, of tokens and lengths -> ids."""
    chosen = GenerationOptions(max_new_tokens=5, pad_token_id=0, eos_token_id=(1,), **options)

    @tf.function(jit_compile=True, autograph=False)
    def search(tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        rows = default_rows(chosen, tf.shape(lengths)[0])
        return generate(model, asked(model, tokens, lengths), chosen, rows, row_options=False).sequences

    return search


def test_the_decode_loop_alone_is_not_counted() -> None:
    search = compiled_search(stacked(random_model(KINDS["rotary"][0])))
    with compiled_for("gpu"):
        program = search.experimental_get_compiler_ir(*prompt_of(PROMPTS, 7)[:2])(stage="optimized_hlo")
    assert len(uncounted_loops(program)) == 1
    assert len(loops(parse(program))) >= 3, "layers of the prompt, steps, layers of a step"


@pytest.mark.full
def test_beams_are_the_same() -> None:
    model = random_model(KINDS["alternating windows"][0])
    with compiled_for("gpu"):
        found = [
            compiled_search(each, num_beams=3)(*prompt_of(PROMPTS, 7)[:2]) for each in (model, stacked(model))
        ]
    assert found[0].numpy().tolist() == found[1].numpy().tolist()


def _graph_bytes(layers: int, *, loop: bool) -> int:
    model = random_model({**CONFIGS["rotary"], "num_hidden_layers": layers})
    model = stacked(model) if loop else model

    @tf.function(autograph=False)
    def read(tokens: tf.Tensor) -> tf.Tensor:
        lengths = tf.fill([tf.shape(tokens)[0]], tf.shape(tokens)[1])
        logits, cache = model.prefill(Prompt(tokens, lengths), max_new_tokens=4)
        return logits, model.extend(tf.ensure_shape(tokens[:, :1], [None, 1]), cache)[0]

    traced = read.get_concrete_function(tf.TensorSpec([None, None], tf.int32))
    return len(traced.graph.as_graph_def().SerializeToString())


def test_a_loop_is_as_large_for_any_depth() -> None:
    few, many = (_graph_bytes(layers, loop=True) for layers in (4, 8))
    assert many < 1.01 * few
    assert _graph_bytes(8, loop=False) > 1.1 * _graph_bytes(4, loop=False)
