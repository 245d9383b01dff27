"""Greedy search on the toy model, against transformers' ``generate`` on each prompt alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from exporter.errors import OptionError
from exporter.generation.calls import generate
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.result import FinishReason, Generated
from exporter.generation.rows import RowOptions, default_rows
from tests.generation.toy import TorchToy, ToyModel, make_prompt, random_weights

VOCAB = 23
WEIGHTS = random_weights(VOCAB)
PROMPTS = [[3, 4, 5], [7], [1, 2, 3, 4, 5, 6], [9, 9]]
#: Compiled functions of options and weights alone, by these.
_COMPILED: dict[Any, Any] = {}


def run(
    options: GenerationOptions, prompts: list[list[int]], rows: RowOptions | None = None, **kwargs: Any
) -> Generated:
    """Asks a compiled function; one of shapes that it has been asked with is not compiled again."""
    prompt = make_prompt(prompts, kwargs.pop("length", None))
    rows = rows or default_rows(options, len(prompts))
    row_options = kwargs.pop("row_options", False)
    weights = kwargs.pop("weights", WEIGHTS)
    model = ToyModel(weights)

    @tf.function(jit_compile=True)
    def compiled(prompt: Any, rows: Any) -> Generated:
        return generate(model, prompt, options, rows, row_options=row_options, **kwargs)

    if not kwargs:
        key = (options, row_options, *(part.tobytes() for part in weights))
        compiled = _COMPILED.setdefault(key, compiled)
    return tf.nest.map_structure(lambda t: t if t is None else t.numpy(), compiled(prompt, rows))


def reference(options: GenerationOptions, prompt: list[int], **kwargs: Any) -> list[int]:
    model = TorchToy(WEIGHTS)
    eos = list(options.eos_token_id) or None
    ids = model.generate(
        torch.tensor([prompt]),
        max_new_tokens=options.max_new_tokens,
        eos_token_id=eos,
        pad_token_id=options.pad_token_id,
        use_cache=False,
        **kwargs,
    )
    return ids[0, len(prompt) :].tolist()


@pytest.mark.parametrize("row_options", [False, True])
@pytest.mark.parametrize("eos", [(), (4,), (2, 11)])
def test_greedy_equals_transformers_on_each_prompt_alone(eos: tuple[int, ...], row_options: bool) -> None:
    options = GenerationOptions(max_new_tokens=12, eos_token_id=eos, pad_token_id=0)
    got = run(options, PROMPTS, length=8, row_options=row_options)
    for row, prompt in enumerate(PROMPTS):
        want = reference(options, prompt)
        count = got.num_tokens[row, 0]
        assert got.sequences[row, 0, :count].tolist() == want
        assert (got.sequences[row, 0, count:] == 0).all()
        stopped = want[-1] in eos
        assert got.finish_reason[row, 0] == (FinishReason.STOP if stopped else FinishReason.LENGTH)


def test_rows_stop_at_their_own_limit_and_finished_rows_generate_nothing() -> None:
    options = GenerationOptions(max_new_tokens=12, pad_token_id=22)
    rows = default_rows(options, 4)._replace(
        max_new_tokens=tf.constant([1, 12, 5, 12]), finished=tf.constant([False, False, False, True])
    )
    got = run(options, PROMPTS, rows)
    assert got.num_tokens[:, 0].tolist() == [1, 12, 5, 0]
    for row in range(3):
        count = got.num_tokens[row, 0]
        assert got.sequences[row, 0, :count].tolist() == reference(options, PROMPTS[row])[:count]
    assert (got.sequences[3] == 22).all()


def test_max_length_counts_the_prompt() -> None:
    options = GenerationOptions(max_new_tokens=9, max_length=10)
    got = run(options, PROMPTS)
    assert got.num_tokens[:, 0].tolist() == [10 - len(prompt) for prompt in PROMPTS]


def test_a_row_answers_alone_as_in_a_batch_and_in_any_bucket() -> None:
    """Between others and alone; behind padding, and without any: the longest prompt has six tokens."""
    options = GenerationOptions(max_new_tokens=8, eos_token_id=(2,))
    together = run(options, PROMPTS, length=8)
    for row, prompt in enumerate(PROMPTS):
        for length in (6, 16):
            alone = run(options, [prompt], length=length)
            assert (alone.sequences[0] == together.sequences[row]).all()


def test_the_loop_ends_when_every_row_has() -> None:
    """Steps are counted by a model that refuses to go on."""
    steps = tf.Variable(0)

    class Counting(ToyModel):
        def extend(self, tokens: Any, cache: Any) -> Any:
            steps.assign_add(1)
            return super().extend(tokens, cache)

    options = GenerationOptions(max_new_tokens=30)
    rows = default_rows(options, 2)._replace(
        max_new_tokens=tf.constant([6, 30]), finished=tf.constant([False, True])
    )
    generate(Counting(WEIGHTS), make_prompt(PROMPTS[:2]), options, rows, row_options=False)
    assert int(steps) == 5  # the first token comes from the prefill


def test_score_and_logprobs_are_the_models_own() -> None:
    options = GenerationOptions(max_new_tokens=6, eos_token_id=(2, 11), scores=True, logprobs=3)
    got = run(options, PROMPTS)
    model = TorchToy(WEIGHTS)
    for row, prompt in enumerate(PROMPTS):
        count = got.num_tokens[row, 0]
        ids = got.sequences[row, 0, :count].tolist()
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        log_probs = torch.log_softmax(logits, -1)
        want = log_probs[range(count), ids].numpy()
        np.testing.assert_allclose(got.logprobs[row, 0, :count], want, atol=1e-5)
        assert (got.logprobs[row, 0, count:] == 0).all()
        np.testing.assert_allclose(got.score[row, 0], want.sum(), atol=1e-4)
        top = log_probs.topk(3)
        np.testing.assert_allclose(got.top_logprobs[row, 0, :count], top.values, atol=1e-5)
        assert got.top_tokens[row, 0, :count].tolist() == top.indices.tolist()


def test_stop_strings_need_their_automaton() -> None:
    with pytest.raises(OptionError, match="stop_strings"):
        run(GenerationOptions(stop_strings=("x",)), [[1]])
