"""What weights in int8 cost a model, measured at export: the same texts read with them and with plain ones.

Every token is predicted from those before it. An encoder-decoder model reads a text and is fed it again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from exporter.errors import OptionError
from exporter.exporting.plan import Plan
from exporter.exporting.tokenizers import Tokenizers
from exporter.generation.step import Prompt, StepModel
from exporter.manifest import AccuracyInfo

#: From the Universal Declaration of Human Rights, and what else people generate.
TEXTS = (
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
    "conscience and should act towards one another in a spirit of brotherhood.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de "
    "conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n    return total / "
    "len(values)\n",
    "The first ten squares are 1, 4, 9, 16, 25, 36, 49, 64, 81 and 100; their sum is 385.",
)
#: Tokens that are read at once, and rows that are read at most.
_LENGTH, _ROWS = 128, 64
#: Of a text without a tokenizer: ids drawn once.
_RANDOM_IDS = 64

Floats = npt.NDArray[np.float32]


class _Read(NamedTuple):
    """Of one row: the best token and the logarithm of the right one's probability, and all logits."""

    best: npt.NDArray[np.int64]
    log_probability: Floats
    logits: Floats


def measure_accuracy(
    plan: Plan,
    tokenizers: Tokenizers,
    plain: Callable[[], StepModel],
    stored: Callable[[], StepModel],
    texts: Sequence[str] = TEXTS,
) -> AccuracyInfo:
    """Compares the model of plain weights with that of the stored ones; one of them is in memory at a time.

    Raises:
      OptionError: the accuracy text cannot be read.
    """
    rows = list(_rows(plan, tokenizers, texts))
    before = _read_all(plan, plain(), rows)
    gc.collect()  # models and their traced functions know each other
    after = _read_all(plan, stored(), rows)
    gc.collect()
    same = np.concatenate([one.best == other.best for one, other in zip(before, after, strict=True)])
    error = [np.sqrt(np.mean((a.logits - b.logits) ** 2)) for a, b in zip(before, after, strict=True)]
    spread = [np.sqrt(np.mean(np.var(one.logits, axis=-1))) for one in before]
    return AccuracyInfo(
        tokens=len(same),
        token_match=round(float(same.mean()), 6),
        logit_error=round(float(np.mean(error) / np.mean(spread)), 6),
        perplexity=_perplexity(after),
        perplexity_plain=_perplexity(before),
    )


def _perplexity(read: list[_Read]) -> float:
    mean = np.concatenate([row.log_probability for row in read]).astype(np.float64).mean()
    return float(f"{np.exp(-mean):.6g}")


def _rows(plan: Plan, tokenizers: Tokenizers, texts: Sequence[str]) -> Iterator[list[int]]:
    """Ids of the texts, in rows that the model can read at once."""
    spec, tokenizer = plan.spec, tokenizers.prompts
    if tokenizer is None:
        yield np.random.default_rng(0).integers(0, spec.vocab_size, _RANDOM_IDS).tolist()
        return
    length = min(_LENGTH, spec.context_length or _LENGTH)
    count = 0
    for text in [*texts, *_asked(plan)]:
        (ids,) = tokenizer.encode(tf.constant([text])).to_list()
        for start in range(0, len(ids) - 1, length):
            if len(row := ids[start : start + length]) > 1 and count < _ROWS:
                count += 1
                yield row


def _asked(plan: Plan) -> Iterator[str]:
    """The user's text, a line at a time: empty ones are left out."""
    path = plan.options.accuracy_text
    if path is None:
        return
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"accuracy_text: {path} cannot be read: {error}") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise OptionError(f"accuracy_text: {path} holds no text")
    yield from lines


def _read_all(plan: Plan, model: StepModel, rows: list[list[int]]) -> list[_Read]:
    return [_read(plan, model, row) for row in rows]


def _read(plan: Plan, model: StepModel, ids: list[int]) -> _Read:
    start = plan.generation.decoder_start_token_id
    fed, right = (ids[:-1], ids[1:]) if start is None else ([start, *ids[:-1]], ids)
    prompt = Prompt(tf.constant([fed], tf.int32), tf.constant([len(fed)]))
    if start is not None:
        source, length = tf.constant([ids], tf.int32), tf.constant([len(ids)])
        prompt = prompt._replace(encoder_tokens=source, encoder_lengths=length)
    logits = model.prefill(prompt, max_new_tokens=1, logits="all")[0][0].numpy()
    chosen = np.take_along_axis(logits, np.array(right)[:, np.newaxis], axis=-1)[:, 0]
    top = logits.max(axis=-1)
    total = top + np.log(np.exp(logits - top[:, np.newaxis]).sum(axis=-1))
    return _Read(logits.argmax(axis=-1), chosen - total, logits)
