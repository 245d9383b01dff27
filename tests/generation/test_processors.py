"""Every processor and warper, one by one and combined, against the list that transformers builds.

The oracle sees each row alone and unpadded; ours sees a left-padded batch.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig

from exporter.generation import history as past
from exporter.generation.generation_options import GenerationOptions, resolve_options
from exporter.generation.processors import Context, build_processors, needs_counts, needs_tokens
from exporter.generation.rows import default_rows
from exporter.generation.warpers import build_warpers
from tests.generation.toy import TorchToy, make_prompt, random_weights

VOCAB = 37
STEPS = 6  # max_new_tokens
TORCH = TorchToy(random_weights(VOCAB))

PENALTIES: dict[str, Any] = {
    "sequence_bias": [[[3], 2.5], [[1, 2], -4.0], [[2, 2], 3.0], [[5, 1, 2], 1.0], [[2, 1], -1.0]],
    "encoder_repetition_penalty": 1.7,
    "repetition_penalty": 1.3,
    "no_repeat_ngram_size": 2,
    "encoder_no_repeat_ngram_size": 3,
    "bad_words_ids": [[4], [1, 3], [0], [2, 1, 2]],
    "min_length": 5,
    "min_new_tokens": 3,
    "forced_bos_token_id": 6,
    "forced_eos_token_id": 7,
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": (1, 1.5),
    "suppress_tokens": [8, 9],
    "begin_suppress_tokens": [10, 1],
    "renormalize_logits": True,
}
WARPERS: dict[str, Any] = {
    "temperature": 0.7,
    "top_h": 0.4,
    "top_k": 5,
    "top_p": 0.8,
    "min_p": 0.05,
    "typical_p": 0.6,
    "epsilon_cutoff": 0.02,
    "eta_cutoff": 0.03,
}
OFF = {"top_k": None, "eos_token_id": [0, 2], "max_new_tokens": STEPS}


@functools.lru_cache(maxsize=64)
def compiled(options: GenerationOptions, row_options: bool) -> Any:
    @tf.function(jit_compile=True)
    def process(prompt: Any, generated: Any, logits: Any, steps: Any) -> tf.Tensor:
        """Replays ``generated`` [rows, STEPS] for ``steps`` steps, then processes the logits."""
        rows = default_rows(options, tf.shape(generated)[0])
        history = past.start_history(
            prompt, STEPS, VOCAB, tokens=needs_tokens(options), counts=needs_counts(options, row_options)
        )
        (_, history) = tf.while_loop(
            lambda step, _: step < steps,
            lambda step, h: (step + 1, past.append(h, tf.gather(generated, step, axis=1), step, STEPS)),
            (0, history),
        )
        context = Context(steps, history, prompt.lengths, rows.max_new_tokens, STEPS)
        for processor in build_processors(options, rows, prompt, VOCAB, 1, row_options=row_options):
            logits = processor(logits, context)
        if options.do_sample:
            for warper in build_warpers(options, rows, row_options=row_options):
                logits = warper(logits)
        return tf.nn.log_softmax(logits) if options.renormalize_logits else logits

    return process


def oracle(
    options: dict[str, Any],
    prompt: list[int],
    generated: list[int],
    logits: np.ndarray,
    source: list[int] | None = None,
) -> np.ndarray:
    """``source``: what an encoder read; None for a decoder-only model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = GenerationConfig(**options)
        config.update(**GenerationConfig._get_default_generation_params(), defaults_only=True)
        if options.get("top_k") is None:
            config.top_k = None
        ids = torch.tensor([prompt])
        TORCH._prepare_special_tokens(config, device="cpu")
        config = TORCH._prepare_generated_length(
            config, True, "min_length" not in options, "x", len(prompt), ids
        )
        read = ids if source is None else torch.tensor([source])
        processors = TORCH._get_logits_processor(config, len(prompt), read, device="cpu")
    return processors(torch.tensor([prompt + generated]), torch.tensor(logits)[None])[0].numpy()


def check(
    options: dict[str, Any], seed: int, row_options: bool = False, encoder_decoder: bool = False
) -> None:
    """Compares distributions at every step of random histories over a small alphabet.

    With ``encoder_decoder`` the prompts are read by an encoder, and the decoder begins with token 1.
    """
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(0, 4, size=n).tolist() for n in (1, 2, 5, 8)]
    generated = rng.integers(0, 4, size=(4, STEPS))
    facts = {"decoder_start_token_id": 1} if encoder_decoder else {}
    resolved = resolve_options(
        None, {}, options | facts, vocab_size=VOCAB, is_encoder_decoder=encoder_decoder
    )
    process = compiled(resolved, row_options)
    batch = make_prompt(prompts, 8)
    if encoder_decoder:
        batch = make_prompt([[1]] * 4)._replace(
            encoder_tokens=tf.constant([source + [5] * (8 - len(source)) for source in prompts]),
            encoder_lengths=batch.lengths,
        )
    for step in range(STEPS):
        logits = rng.normal(size=(4, VOCAB), scale=2).astype(np.float32)
        got = process(batch, generated.astype(np.int32), logits, tf.constant(step)).numpy()
        for row, prompt in enumerate(prompts):
            sides = ([1], prompt) if encoder_decoder else (prompt, None)
            want = oracle(options, sides[0], generated[row, :step].tolist(), logits[row], sides[1])
            assert_same(got[row], want, f"row {row}, step {step}")


def assert_same(got: np.ndarray, want: np.ndarray, where: str) -> None:
    """Equal cut-offs and values."""
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(want), err_msg=where)
    kept = np.isfinite(want) & (np.abs(want) < 1e30)
    np.testing.assert_allclose(got[kept], want[kept], atol=2e-5, rtol=1e-5, err_msg=where)


@pytest.mark.parity
@pytest.mark.parametrize("name", PENALTIES)
def test_each_processor(name: str) -> None:
    check(OFF | {name: PENALTIES[name]}, seed=1)


@pytest.mark.parity
@pytest.mark.parametrize(
    "name", ["encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "repetition_penalty", "min_length"]
)
def test_processors_of_encoder_decoder_models(name: str) -> None:
    check(OFF | {name: PENALTIES[name]}, seed=4, encoder_decoder=True)


@pytest.mark.parity
def test_several_tokens_are_forced_together() -> None:
    check(OFF | {"forced_eos_token_id": [0, 7]}, seed=1)


@pytest.mark.parity
@pytest.mark.parametrize("name", WARPERS)
def test_each_warper(name: str) -> None:
    for seed in range(3):
        check(OFF | {"do_sample": True, name: WARPERS[name]}, seed)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"])
def test_each_warper_keeps_enough_for_beams(name: str) -> None:
    tight = {
        "top_k": 1,
        "top_p": 0.01,
        "min_p": 0.99,
        "typical_p": 0.01,
        "epsilon_cutoff": 0.9,
        "eta_cutoff": 0.9,
    }
    check(OFF | {"do_sample": True, "num_beams": 3, name: tight[name]}, seed=5)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p", "repetition_penalty"])
def test_row_options_equal_baked_ones(name: str) -> None:
    check(OFF | {"do_sample": True, name: (PENALTIES | WARPERS)[name]}, seed=2, row_options=True)


@pytest.mark.parity
def test_everything_at_once_in_transformers_order() -> None:
    most = {k: v for k, v in PENALTIES.items() if k not in ("forced_bos_token_id", "remove_invalid_values")}
    check(OFF | most | {"do_sample": True} | WARPERS | {"top_k": 12}, seed=3)


def test_hypothesis_combinations(full: bool) -> None:
    names = st.sets(st.sampled_from([*PENALTIES, *WARPERS]), min_size=2, max_size=6)

    @settings(max_examples=300 if full else 12, deadline=None, derandomize=True)
    @given(names=names, sample=st.booleans(), seed=st.integers(0, 2**20), encoder_decoder=st.booleans())
    def combinations(names: set[str], sample: bool, seed: int, encoder_decoder: bool) -> None:
        chosen = {name: (PENALTIES | WARPERS)[name] for name in names if sample or name in PENALTIES}
        check(OFF | {"do_sample": sample} | chosen, seed, encoder_decoder=encoder_decoder)

    combinations()


@pytest.mark.parametrize("row_options", [False, True])
def test_presence_and_frequency_penalties_follow_openais_formula(row_options: bool) -> None:
    """logit - count * frequency - (count > 0) * presence over generated tokens; the prompt does not count."""
    options = GenerationOptions(max_new_tokens=STEPS, presence_penalty=0.7, frequency_penalty=0.3)
    rng = np.random.default_rng(0)
    generated = rng.integers(0, 4, size=(2, STEPS))
    logits = rng.normal(size=(2, VOCAB)).astype(np.float32)
    got = compiled(options, row_options)(make_prompt([[3], [1, 2, 3]]), generated.astype(np.int32), logits, 4)
    for row in range(2):
        count = np.bincount(generated[row, :4], minlength=VOCAB)
        np.testing.assert_allclose(got[row], logits[row] - count * 0.3 - (count > 0) * 0.7, rtol=1e-5)
