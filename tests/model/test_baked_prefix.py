"""A model with a baked prefix answers as the one that reads the whole prompt: logits, and every search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.generation import generate, prompt_logprobs, score
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt
from exporter.model import Transformer, blocks
from tests.model.toys import BORROWED, CONFIGS, PARTS, VOCAB, prompt_of, random_model

#: Longer than every window of the toys: all that a windowed layer keeps of it is in use.
PREFIX = [7, 3, 55, 3, 21, 9, 40, 7, 3, 2, 18]
OWN = [[5], [3, 55, 3], [60, 1, 2, 33, 8, 7]]
BUCKET = len(PREFIX) + 9
CHUNKS: dict[str, Any] = {
    "model_type": "llama4_text",
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 24,
    "intermediate_size_mlp": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_local_experts": 3,
    "no_rope_layer_interval": 2,
    "attention_chunk_size": 5,
    "floor_scale": 4,
}
SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 3},
    "many beams": {"num_beams": 9, "num_return_sequences": 2},
    "sampling": {"do_sample": True, "temperature": 1.3, "num_return_sequences": 2},
    "prompt processors": {
        "repetition_penalty": 1.4,
        "no_repeat_ngram_size": 2,
        "encoder_repetition_penalty": 1.2,
    },
    "beams with processors": {"num_beams": 3, "repetition_penalty": 1.4, "bad_words_ids": [[3, 55]]},
    "prompt lookup": {"prompt_lookup_num_tokens": 3},
}


def models(config: dict[str, Any]) -> tuple[Transformer, Transformer]:
    """The same model without and with the prefix baked."""
    plain, baked = random_model(config), random_model(config)
    baked.bake_prefix(PREFIX)
    return plain, baked


def whole() -> Prompt:
    return prompt_of([PREFIX + own for own in OWN], BUCKET)


KINDS = {**CONFIGS, "borrowed": BORROWED, "chunks": CHUNKS}
PARTED = pytest.param("parts", 512, marks=pytest.mark.full)


@pytest.mark.parametrize(
    ("name", "size"), [*((name, 512) for name in KINDS), ("window", 4), ("alibi", 4), PARTED]
)
def test_logits_of_prefill_and_extend(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, baked = models({**KINDS, "parts": PARTS}[name])
    monkeypatch.setitem(blocks.BLOCK, "cpu", size)
    more = tf.constant([[4, 9], [1, 1], [30, 2]])

    def read(model: Transformer) -> list[npt.NDArray[np.float32]]:
        first, cache = model.prefill(whole(), max_new_tokens=4)
        following, _ = model.extend(more, cache.per_row(2))
        return [np.asarray(first), np.asarray(following)]

    for expected, got in zip(read(plain), read(baked), strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5 * np.ptp(expected))


#: Of the quick tier: windows, which a longer prefix fills, through every loop; and one other kind of bias.
QUICK = {("window", search) for search in SEARCHES if search != "beams"} | {("alibi", "greedy")}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_search_writes_the_same(name: str, search: str, full: bool) -> None:
    if not full and (name, search) not in QUICK:
        pytest.skip("all searches on all models: in the full tier")
    options = GenerationOptions(max_new_tokens=12, pad_token_id=0, eos_token_id=(17,), **SEARCHES[search])
    rows = default_rows(options, tf.constant(3))
    rows = rows._replace(seed=tf.range(1, 4, dtype=rows.seed.dtype))

    def run(model: Transformer) -> npt.NDArray[np.int32]:
        @tf.function(autograph=False, jit_compile=True)
        def program(prompt: Prompt) -> tf.Tensor:
            return generate(model, prompt, options, rows, row_options=False).sequences

        return np.asarray(program(whole()))

    plain, baked = models(CONFIGS[name])
    np.testing.assert_array_equal(run(baked), run(plain))


def test_scores_of_continuations() -> None:
    plain, baked = models(CONFIGS["alternating windows"])
    continuation, lengths = tf.constant([[4, 9, 2], [1, 1, 0], [30, 0, 0]]), tf.constant([3, 2, 1])
    expected, got = (score(model, whole(), continuation, lengths) for model in (plain, baked))
    np.testing.assert_allclose(got.score, expected.score, rtol=1e-5)
    np.testing.assert_array_equal(got.greedy, expected.greedy)


@pytest.mark.parametrize("name", CONFIGS)
def test_log_probabilities_of_own_tokens(name: str) -> None:
    """The first of them too, which the prefix comes before."""
    plain, baked = models(CONFIGS[name])
    expected = prompt_logprobs(plain, whole(), width=BUCKET).logprobs
    got = prompt_logprobs(baked, whole(), width=9, baked=len(PREFIX)).logprobs
    assert got[:, 0].numpy().all()
    np.testing.assert_allclose(got, expected[:, len(PREFIX) :], atol=1e-4)


def test_the_prefix_is_kept_once_and_a_windowed_layer_keeps_its_window() -> None:
    _, baked = models(CONFIGS["alternating windows"])
    kept = {name: variable.shape.as_list() for name, variable in baked.prefix.items()}
    assert kept["layers.0.keys"] == [2, 5, 8]  # sliding_window 5
    assert kept["layers.1.values"] == [2, len(PREFIX), 8]


def test_latents_are_kept_once_for_all_heads() -> None:
    _, baked = models(CONFIGS["latent"])
    kept = {name: variable.shape.as_list() for name, variable in baked.prefix.items()}
    latents = {f"layers.{layer}.keys": [1, len(PREFIX), 10 + 4] for layer in range(2)}
    assert kept == {**latents, "last_state": [1, 1, 16]}


def test_a_loop_reads_the_prefix_without_copying_it_for_every_row() -> None:
    """The compiled program holds no tensor of batch x prefix keys: the products run over the one copy."""
    _, baked = models(CONFIGS["rotary"])
    options = GenerationOptions(max_new_tokens=4, pad_token_id=0)
    rows = default_rows(options, tf.constant(3))

    @tf.function(autograph=False, jit_compile=True)
    def program(prompt: Prompt) -> tf.Tensor:
        return generate(baked, prompt, options, rows, row_options=False).sequences

    compiled = program.experimental_get_compiler_ir(whole())(stage="optimized_hlo")
    heads, head_dim = 2, 4
    assert f"f32[{heads},{len(PREFIX)},{head_dim}]" in compiled
    assert f"f32[{3 * heads},{len(PREFIX)},{head_dim}]" not in compiled
    assert f"f32[3,{heads},{len(PREFIX)},{head_dim}]" not in compiled


def test_a_padding_token_that_takes_no_position_is_counted_from_the_prefix_on() -> None:
    """xglm's kind of positions: own tokens go on where the prefix ends."""
    config = {
        "model_type": "xglm",
        "vocab_size": VOCAB,
        "d_model": 16,
        "ffn_dim": 24,
        "num_layers": 2,
        "attention_heads": 4,
        "max_position_embeddings": 64,
    }
    plain, baked = models(config)
    expected, got = (model.prefill(whole(), max_new_tokens=1)[0] for model in (plain, baked))
    np.testing.assert_allclose(got, expected, atol=2e-5 * np.ptp(expected))
