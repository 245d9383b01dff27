"""What XLA makes of a decoding loop: no copy of a cache in its body, one function for like layers."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.generation.step import Prompt
from exporter.model import Transformer
from tests.model.toys import CONFIGS, VOCAB, prompt_of, random_model

BUCKET, NEW = 24, 40
PROMPTS = [list(range(1, 20)), [7, 8]]


def decoder(model: Transformer, copies: int) -> Any:
    """A polymorphic, compiled loop; returns ids [NEW, rows].

    Greedy, but of several ``copies`` the first takes over the last, and all others the one before them.
    """

    def decode(tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        logits, cache = model.prefill(Prompt(tokens, lengths), max_new_tokens=NEW)
        cache = cache.expand(copies)
        first = tf.repeat(tf.argmax(logits, axis=-1, output_type=tf.int32), copies)

        def body(step: tf.Tensor, chosen: tf.Tensor, ids: tf.TensorArray, state: Any) -> Any:
            logits, new = model.extend(chosen[:, tf.newaxis], cache.with_state(state))
            rows = tf.range(tf.shape(chosen)[0])
            rotated = rows - rows % copies + (rows - 1) % copies
            new = new.reorder(rotated) if copies > 1 else new
            chosen = tf.argmax(logits[:, 0], axis=-1, output_type=tf.int32)
            chosen = tf.gather((chosen + rows % copies) % VOCAB, rotated)
            return step + 1, chosen, ids.write(step, chosen), new.state

        ids = tf.TensorArray(tf.int32, NEW, element_shape=[None]).write(0, first)
        return tf.while_loop(lambda step, *_: step < NEW, body, (1, first, ids, cache.state))[2].stack()

    open_shapes = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
    return tf.function(decode, jit_compile=True, autograph=False, input_signature=open_shapes)


def copied_in_loops(hlo: str, smallest: int) -> list[str]:
    """Copies, transposes and gathers of at least ``smallest`` elements in loop bodies, fused or not."""
    computations = {part.split(" ", 1)[0]: part for part in re.split(r"\n(?=%|ENTRY)", hlo)}
    found = []
    for body in set(re.findall(r"body=(%[\w.-]+)", hlo)):
        for line in computations[body].splitlines():
            made = re.search(r"= \w+\[([\d,]+)\]\S* (copy|transpose|gather|fusion)\(", line)
            if not made or math.prod(int(size) for size in made[1].split(",")) < smallest:
                continue
            called = re.search(r"calls=(%[\w.-]+)", line)
            root = computations[called[1]].rpartition("ROOT")[2] if called else line
            if re.search(r" (copy|transpose|gather|concatenate)\(", root):
                found.append(line.strip()[:150])
    return found


@pytest.mark.parametrize(
    ("kind", "copies"), [("learned positions", 1), ("rotary", 1), ("rotary", 2), ("latent", 2)]
)
def test_no_copy_of_a_cache_in_the_loop(kind: str, copies: int) -> None:
    # Heads wide enough that a cache is larger than the scores, which may be moved.
    wide = {"learned positions": {"n_embd": 128}, "rotary": {"head_dim": 64}, "latent": {"kv_lora_rank": 124}}
    model = random_model({**CONFIGS[kind], **wide[kind]})
    decode, prompt = decoder(model, copies), prompt_of(PROMPTS, BUCKET)
    hlo = decode.experimental_get_compiler_ir(prompt.tokens, prompt.lengths)(stage="optimized_hlo")
    assert "dynamic-update-slice" in hlo
    attention = model.spec.decoder.layers[0].attention
    prompts = len(PROMPTS) * attention.kv_heads * BUCKET * attention.head_dim
    assert copied_in_loops(hlo, prompts) == []


@pytest.mark.parametrize("kind", ["learned positions", "alternating windows", "alibi"])
def test_compiled_equals_uncompiled(kind: str) -> None:
    model = random_model(CONFIGS[kind])
    decode, prompt = decoder(model, 2), prompt_of(PROMPTS, BUCKET)
    compiled = decode(prompt.tokens, prompt.lengths).numpy()
    logits, cache = model.prefill(prompt, max_new_tokens=NEW)
    cache, chosen = cache.expand(2), tf.repeat(tf.argmax(logits, axis=-1, output_type=tf.int32), 2)
    swapped = tf.constant([1, 0, 3, 2])
    for step in range(NEW):
        np.testing.assert_array_equal(compiled[step], chosen)
        logits, cache = model.extend(chosen[:, tf.newaxis], cache)
        cache = cache.reorder(swapped)
        chosen = tf.argmax(logits[:, 0], axis=-1, output_type=tf.int32)
        chosen = tf.gather((chosen + tf.constant([0, 1, 0, 1])) % VOCAB, swapped)


def test_rollback_compiles() -> None:
    """Rows that count for themselves keep their state's shapes through a compiled loop."""
    model, k = random_model(CONFIGS["alternating windows"]), 3
    prompt = prompt_of(PROMPTS, BUCKET)
    fed = tf.constant(np.random.default_rng(0).integers(0, 61, (10, 2, k)), tf.int32)
    back = tf.constant(np.random.default_rng(1).integers(0, k + 1, (10, 2)), tf.int32)

    def run(tokens: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        _, cache = model.prefill(Prompt(tokens, lengths), max_new_tokens=30)
        cache = cache.per_row(k)

        def body(step: tf.Tensor, last: tf.Tensor, state: Any) -> Any:
            last, new = model.extend(fed[step], cache.with_state(state))
            return step + 1, last, new.truncate(back[step]).state

        first = tf.zeros([tf.shape(tokens)[0], k, model.vocab_size])
        return tf.while_loop(lambda step, *_: step < 10, body, (0, first, cache.state))[1]

    compiled = tf.function(run, jit_compile=True, autograph=False)(prompt.tokens, prompt.lengths)
    np.testing.assert_allclose(compiled, run(prompt.tokens, prompt.lengths), atol=1e-4)


def functions(layers: int) -> int:
    config = {**CONFIGS["learned positions"], "n_layer": layers}
    return len(decoder(random_model(config), 1).get_concrete_function().graph.as_graph_def().library.function)


def test_like_layers_share_a_function() -> None:
    assert functions(3) == functions(6)
