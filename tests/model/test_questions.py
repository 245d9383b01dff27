"""Compiled: scores, log-probabilities of prompts and answers in pieces, whatever layers carry or borrow.

Each is compared with texts that are read from their beginning, at once and uncompiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from exporter.generation import generate
from exporter.generation.calls import prompt_logprobs, score
from exporter.generation.choice import draw_token
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.result import FinishReason
from exporter.generation.rows import RowOptions, default_rows
from exporter.generation.step import Prompt
from exporter.model import Transformer, delta, mamba, mamba2
from tests.model import test_state
from tests.model.toys import BORROWED, CONFIGS, PARTS, VOCAB, prompt_of, random_model

IDS = np.random.default_rng(1).integers(3, VOCAB, 40).tolist()
PROMPTS = [IDS[:9], IDS[9:11]]
MODELS: dict[str, dict[str, Any]] = {
    **test_state.CONFIGS,
    "gated delta net": {
        **test_state.CONFIGS["gated delta net"],
        "num_hidden_layers": 2,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "latent": CONFIGS["latent"],
    "borrowed": BORROWED,
    "parts": PARTS,
}
#: Those of the quick tier: what takes most steps to read a chunk, and latents.
every_model = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("gated delta net", "latent") else pytest.mark.full)
        for name in MODELS
    ],
)


@pytest.fixture(autouse=True)
def chunks_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (delta, mamba, mamba2):
        monkeypatch.setattr(module, "CHUNK", 4)


def compiled(call: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(call, jit_compile=True, autograph=False)  # type: ignore[no-any-return]


def said(model: Transformer, ids: list[int], own: int) -> tf.Tensor:
    """float32 [own, vocab]: what each of the newest ``own`` tokens of a text is predicted from."""
    logits, _ = model.prefill(prompt_of([ids[:-1]], len(ids) - 1), max_new_tokens=1, logits="all")
    return logits[0, len(logits[0]) - own :]


def predicted(model: Transformer, ids: list[int], own: int) -> npt.NDArray[np.float32]:
    """float32 [own]: log-probabilities of the newest tokens."""
    logprobs = tf.nn.log_softmax(said(model, ids, own)).numpy()
    return logprobs[np.arange(own), ids[-own:]]  # type: ignore[no-any-return]


@every_model
def test_scores_of_continuations_of_several_rounds(name: str) -> None:
    """The longest one is read in two rounds of 16 columns, behind prompts that end anywhere."""
    model, width = random_model(MODELS[name]), 20
    lengths = [20, 18]
    given = [IDS[20 : 20 + width], IDS[11 : 11 + width]]

    @compiled
    def ask(prompt: Prompt, continuation: tf.Tensor) -> Any:
        return score(model, prompt, continuation, tf.constant(lengths))

    got = ask(prompt_of(PROMPTS, 12), tf.constant(given))
    for row, (prompt, ids, length) in enumerate(zip(PROMPTS, given, lengths, strict=True)):
        expected = predicted(model, prompt + ids[:length], length)
        np.testing.assert_allclose(got.logprobs[row, :length], expected, atol=2e-4)
        np.testing.assert_allclose(got.score[row], expected.sum(), atol=2e-3)
        assert not got.logprobs[row, length:].numpy().any()


@every_model
@pytest.mark.parametrize("baked", [0, pytest.param(3, marks=pytest.mark.full)])
def test_log_probabilities_of_prompts(name: str, baked: int) -> None:
    model, texts = random_model(MODELS[name]), [IDS[:21], IDS[:5]]
    expected = [predicted(model, text, len(text) - max(baked, 1)) for text in texts]
    if baked:
        model.bake_prefix(IDS[:baked])

    @compiled
    def ask(prompt: Prompt) -> Any:
        return prompt_logprobs(model, prompt, width=24, baked=baked)

    got = ask(prompt_of(texts, 22)).logprobs.numpy()
    first = 0 if baked else 1
    for row, own in zip(got, expected, strict=True):
        np.testing.assert_allclose(row[first : first + len(own)], own, atol=2e-4)
        assert not row[:first].any()
        assert not row[first + len(own) :].any()


@every_model
def test_an_answer_goes_on_from_wherever_it_was_cut(name: str) -> None:
    """Every cut of an answer is a row; each goes on by what is left, or by a few tokens of it."""
    model, prompt, most = random_model(MODELS[name]), PROMPTS[0], 9
    options = GenerationOptions(max_new_tokens=most, pad_token_id=0, eos_token_id=())
    pieces = [min(3, most - cut) if cut % 2 else most - cut for cut in range(most)]

    @compiled
    def ask(prompt: Prompt, rows: RowOptions) -> Any:
        return generate(model, prompt, options, rows, row_options=False, piece=most)

    def ask_from(answer: list[int]) -> Any:
        """With as many of the answer's tokens read as each row's number tells."""
        rows = default_rows(options, most)._replace(
            num_generated=tf.minimum(tf.range(most), len(answer)), piece_tokens=tf.constant(pieces)
        )
        read = [prompt + answer[:cut] for cut in range(most)]
        return ask(prompt_of(read, len(prompt) + most), rows)

    answer = ask_from([]).sequences[0, 0].numpy().tolist()
    assert answer == np.argmax(said(model, prompt + answer, most), axis=-1).tolist()
    got = ask_from(answer)
    assert got.num_tokens[:, 0].numpy().tolist() == pieces
    for cut, piece in enumerate(pieces):
        assert got.sequences[cut, 0, :piece].numpy().tolist() == answer[cut : cut + piece]
        ended = cut + piece == most
        assert got.finish_reason[cut, 0] == (FinishReason.LENGTH if ended else FinishReason.NONE)


@pytest.mark.full
@every_model
def test_draws_are_from_what_the_whole_text_says(name: str) -> None:
    model = random_model(MODELS[name])
    options = GenerationOptions(max_new_tokens=8, pad_token_id=0, eos_token_id=(), do_sample=True)
    rows = default_rows(options, 2)._replace(seed=tf.constant([5, 6], tf.int64))

    @compiled
    def ask(prompt: Prompt) -> Any:
        return generate(model, prompt, options, rows, row_options=False).sequences

    got = ask(prompt_of(PROMPTS, 12))[:, 0].numpy().tolist()
    for row, (prompt, drawn) in enumerate(zip(PROMPTS, got, strict=True)):
        logits, seed = said(model, prompt + drawn, len(drawn)), rows.seed[row : row + 1]
        expected = [draw_token(each[tf.newaxis], seed, tf.constant(step)) for step, each in enumerate(logits)]
        assert drawn == np.concatenate(expected).tolist()


@pytest.mark.full
def test_guesses_are_checked_by_layers_that_borrow() -> None:
    """Prompts that repeat themselves: guesses hold and fail, and rings of small windows are taken back."""
    model = random_model(BORROWED)
    options = GenerationOptions(
        max_new_tokens=16, pad_token_id=0, eos_token_id=(), prompt_lookup_num_tokens=3
    )
    rows, prompts = default_rows(options, 2), [IDS[:4] * 3, [7, 7]]

    @compiled
    def ask(prompt: Prompt) -> Any:
        return generate(model, prompt, options, rows, row_options=False).sequences

    got = ask(prompt_of(prompts, 12))[:, 0].numpy().tolist()
    for prompt, written in zip(prompts, got, strict=True):
        assert written == np.argmax(said(model, prompt + written, 16), axis=-1).tolist()
