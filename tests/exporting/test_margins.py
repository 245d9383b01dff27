"""How sure answers are, on a toy model: a disturbance within a margin changes nothing, one beyond it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.exporting.margins import RUNGS, Asked, search_margin, start_of, step_margins, written
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt
from exporter.generation.threefry import uniforms
from tests.generation.toy import ToyModel, random_weights

VOCAB = 40


def asked(model: Any, **options: Any) -> Asked:
    chosen = GenerationOptions(**{"max_new_tokens": 2, "eos_token_id": (0,), "pad_token_id": 0} | options)
    rows = default_rows(chosen, 1)
    return Asked(model, start_of([3, 4, 5], chosen), chosen, rows)


class Pushed:
    """A model whose first logits are other ones."""

    def __init__(self, model: ToyModel, change: np.ndarray) -> None:
        self.model, self.change, self.vocab_size = model, change, model.vocab_size

    def prefill(self, prompt: Prompt, **options: Any) -> Any:
        logits, cache = self.model.prefill(prompt, **options)
        return logits + self.change.astype(np.float32), cache

    def extend(self, tokens: tf.Tensor, cache: Any) -> Any:
        return self.model.extend(tokens, cache)


@pytest.fixture(scope="module")
def model() -> ToyModel:
    return ToyModel(random_weights(VOCAB))


def _logit(share: float) -> float:
    return float(np.log(share) - np.log1p(-share))


def test_a_draw_is_as_sure_as_its_number_is_far_from_the_next_token(model: ToyModel) -> None:
    """Of a distribution of one block: log odds of the number less those of the interval's nearer end."""
    found: list[float] = []
    for seed in range(20):
        question = asked(model, do_sample=True, seed=seed)
        (ids,), (count,) = written(question)
        logits, _ = model.prefill(question.start, max_new_tokens=2)
        shares = np.cumsum(tf.nn.softmax(logits[0]).numpy().astype(float))
        second = float(uniforms(tf.constant([seed], tf.int64), tf.constant(0), tf.constant(0))[1][0])
        lower, upper = ([0.0, *shares][ids[0]], shares[ids[0]])
        assert lower <= second <= upper
        ends = [abs(_logit(second) - _logit(end)) for end in (lower, upper) if 0 < end < 1 - 1e-6]
        distance = min(ends, default=np.inf) if second > 0 else np.inf
        margin = step_margins(question, ids[:count])[0]
        expected = max((rung for rung in (0.0, *RUNGS) if rung < distance), default=0.0)
        if min(abs(distance - rung) for rung in RUNGS) > 1e-3:
            assert margin == expected, (seed, distance)
        found.append(margin)
    assert {0.05, 0.25} <= set(found)


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True, "top_k": 5, "temperature": 0.7},
        {"do_sample": True, "top_p": 0.8},
        {"do_sample": True, "typical_p": 0.8},
        {},
    ],
    ids=str,
)
def test_a_token_stays_within_its_margin(model: ToyModel, options: dict[str, Any]) -> None:
    """Also where cutoffs move: logits that move by less than half of the margin draw the same token."""
    rng = np.random.default_rng(1)
    for seed in range(4):
        question = asked(model, seed=seed, **options)
        (ids,), (count,) = written(question)
        margin = step_margins(question, ids[:count])[0]
        for _ in range(3):
            change = rng.choice([-0.49, 0.49], size=VOCAB) * margin
            pushed = written(question._replace(model=Pushed(model, change)))[0]
            assert pushed[0][0] == ids[0], (seed, margin)


def test_sequences_have_margins_of_their_own_seeds(model: ToyModel) -> None:
    several = asked(model, do_sample=True, seed=7, max_new_tokens=6, num_return_sequences=3)
    ids, counts = written(several)
    for number in range(3):
        alone = asked(model, do_sample=True, seed=7 + number, max_new_tokens=6)
        (own,), (count,) = written(alone)
        assert own[:count] == ids[number][: counts[number]]
        margins = step_margins(several, own[:count], number)
        assert margins == step_margins(alone, own[:count])


def test_beams_that_tie_are_unsure() -> None:
    sure, tied = random_weights(VOCAB, scale=0.0, bias=0.0), random_weights(VOCAB, scale=0.0, bias=0.0)
    sure.bias[[5, 6, 7]] = 9.0, 4.0, 1.0
    tied.bias[[5, 6, 7]] = 9.0, 9.0 - 1e-3, 1.0
    beams = {"num_beams": 2, "max_new_tokens": 4}
    assert search_margin(asked(ToyModel(sure), **beams)) == RUNGS[-1]
    assert search_margin(asked(ToyModel(tied), **beams)) == 0.0
