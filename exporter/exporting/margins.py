"""How sure an answer is: how far logits may move before it is another one.

All margins have one unit: the smallest difference of two logits that would change the choice. A choice holds
while no logit moves by more than half of it. Nothing is compiled: the model itself is asked.

- greedy search: the chosen token's lead over the next one, after the processors;
- drawing: the largest of ``RUNGS`` by which logits may be pushed the worst way without another token being
  drawn; that is the distance of the drawn number in the cumulative distribution, cutoffs of top_k, top_p and
  the like included, as a distance of logits;
- beam search: the largest of ``RUNGS`` by which logits may be disturbed, and with them the scores of beams
  that compete, without another answer winning: tried ``_TRIES`` times, for no useful bound is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from exporter.generation import generate
from exporter.generation.choice import BLOCK
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.history import append, start_history
from exporter.generation.loop import processed, row_guides, row_limits
from exporter.generation.processors import Context, build_processors, can_ban, needs_counts, needs_tokens
from exporter.generation.result import Generated
from exporter.generation.rows import RowOptions, repeat_rows
from exporter.generation.sampling import Choose, build_choice
from exporter.generation.step import Cache, Prompt, StepModel
from exporter.generation.topk import largest
from exporter.prompts.prefix_tokenizer import with_prefix

#: Stands for the lead of a token that nothing else could have been: JSON has no infinity.
FORCED = 1e6
RUNGS = (0.01, 0.05, 0.25)
_TRIES = 4


class Asked(NamedTuple):
    """A request of one row: the model, its prompt as the loop begins with it, and how it is answered."""

    model: StepModel
    start: Prompt
    options: GenerationOptions
    rows: RowOptions
    row_options: bool = False
    guides: Guides | None = None

    def generate(self, model: StepModel, start: Prompt, rows: RowOptions) -> Generated:
        """What is answered; stop strings end nothing."""
        options = self.options.model_copy(update={"stop_strings": ()})
        return generate(model, start, options, rows, row_options=self.row_options, guides=self.guides)


def start_of(ids: Sequence[int], options: GenerationOptions, prefix: Sequence[int] = ()) -> Prompt:
    """[1, length]: what the loop starts from; ``ids`` without a baked prefix."""
    tokens, lengths = tf.constant([list(ids)], tf.int32), tf.constant([len(ids)])
    if options.decoder_start_token_id is None:
        return with_prefix(prefix, Prompt(tokens, lengths))
    start = tf.constant([[options.decoder_start_token_id]])
    return Prompt(start, tf.constant([1]), encoder_tokens=tokens, encoder_lengths=lengths)


def written(asked: Asked) -> tuple[list[list[int]], list[int]]:
    """The ids of every sequence and how many they are, where no stop string ends them."""
    found = asked.generate(asked.model, asked.start, asked.rows)
    return found.sequences[0].numpy().tolist(), found.num_tokens[0].numpy().tolist()


def step_margins(asked: Asked, answer: Sequence[int], sequence: int = 0) -> tuple[float, ...]:
    """The margin of every token of ``answer``, the ids of one sequence of greedy search or drawing."""
    rows = asked.rows._replace(seed=asked.rows.seed + sequence)
    drawn = asked.options.do_sample and not (asked.row_options and float(rows.temperature[0]) == 0)
    if not drawn:
        return tuple(_lead(scores[0], answer[step]) for step, scores in enumerate(_scores(asked, answer)))
    wide = repeat_rows(rows, len(RUNGS) * _PUSHES)
    choose = build_choice(asked.options, wide, row_options=asked.row_options)
    return tuple(
        _held(choose, scores, answer[step], step) for step, scores in enumerate(_scores(asked, answer))
    )


def search_margin(asked: Asked) -> float:
    """The margin of all that beam search answers."""
    sizes = [0.0, *(size for size in RUNGS for _ in range(_TRIES))]
    model = _Disturbed(asked.model, tf.constant(sizes))

    def tries(fields: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
        return [None if one is None else tf.repeat(one, len(sizes), axis=0) for one in fields]

    start, rows = Prompt(*tries(asked.start)), RowOptions(*tries(asked.rows))
    found = asked.generate(model, start, rows)
    same = tf.reduce_all(found.sequences == found.sequences[:1], axis=[1, 2])[1:]
    return _rung(tf.reduce_all(tf.reshape(same, [-1, _TRIES]), axis=1))


def next_margin(model: StepModel, start: Prompt, count: int) -> float:
    """The smallest lead of one of the ``count`` best next tokens over the one after it."""
    logits, _ = model.prefill(start, max_new_tokens=1)
    best, _ = largest(tf.ensure_shape(logits, [None, model.vocab_size]), min(count + 1, model.vocab_size))
    return round(float(tf.reduce_min(best[0, :-1] - best[0, 1:])), 6) if best.shape[1] > 1 else FORCED


def _scores(asked: Asked, answer: Sequence[int]) -> Iterator[tf.Tensor]:
    """float32 [1, vocab] for every token of ``answer``: logits after the processors. It is read at once."""
    if not answer:
        return
    options, start, rows = asked.options, asked.start, asked.rows
    read = tf.concat([start.tokens, tf.constant([list(answer[:-1])], tf.int32)], axis=1)
    whole = start._replace(tokens=read, lengths=tf.shape(read)[1:])
    logits, _ = asked.model.prefill(whole, max_new_tokens=1, logits="all")
    logits = logits[:, -len(answer) :]  # [1, answer, vocab]
    most, vocab = options.max_new_tokens, asked.model.vocab_size
    processors = build_processors(options, rows, start, vocab, 1, row_options=asked.row_options)
    limits = row_limits(options, rows, start.lengths)
    tokens, counts = needs_tokens(options), needs_counts(options, asked.row_options)
    history = start_history(start, most, vocab, tokens=tokens, counts=counts)
    guide: Any = () if asked.guides is None else asked.guides.start(row_guides(rows))
    for step, token in enumerate(answer):
        context = Context(tf.constant(step), history, start.lengths, limits, most)
        scores = processed(logits[:, step], context, processors)
        if asked.guides is not None:
            scores = asked.guides.mask(scores, guide, logits[:, step] if can_ban(options, rows) else None)
        yield scores
        history = append(history, tf.constant([token]), tf.constant(step), most)
        if asked.guides is not None:
            guide = asked.guides.advance(guide, tf.constant([token]))


def _lead(scores: tf.Tensor, token: int) -> float:
    """By how much ``token`` is above all others; 0 where rounding here would choose another."""
    others = tf.where(tf.range(tf.shape(scores)[0]) == token, scores.dtype.min, scores)
    return round(float(tf.clip_by_value(scores[token] - tf.reduce_max(others), 0.0, FORCED)), 6)


#: Ways to push another token into the draw's place: see ``_held``.
_PUSHES = 5


def _held(choose: Choose, scores: tf.Tensor, token: int, step: int) -> float:
    """The largest rung by which pushing ``scores`` [1, vocab] leaves the drawn ``token``.

    A draw chooses a block, then a token of it. The worst pushes are the token itself against all others, and
    for the edges of block and token in their cumulative distributions all before an edge against all behind.
    """
    place = tf.range(scores.shape[1])
    first = token - token % BLOCK
    block = (place >= first) & (place < first + BLOCK)
    up = [
        place != token,
        place < first,
        place >= first + BLOCK,
        block & (place < token),
        ~(block & (place <= token)),
    ]
    pushes = tf.where(tf.stack(up), 0.5, -0.5)  # [pushes, vocab]
    # [rungs, pushes, vocab] -> [rungs * pushes, vocab]
    pushed = scores + tf.reshape(tf.constant(RUNGS)[:, None, None] * pushes, [-1, scores.shape[1]])
    drawn = choose(pushed, tf.constant(step))
    return _rung(tf.reduce_all(tf.reshape(drawn == token, [len(RUNGS), _PUSHES]), axis=1))


def _rung(holds: tf.Tensor) -> float:
    """The largest rung up to which all hold (bool [rungs]); 0 where the first does not."""
    count = int(tf.reduce_sum(tf.math.cumprod(tf.cast(holds, tf.int32))))
    return (0.0, *RUNGS)[count]


class _Disturbed:
    """A model whose logits are moved up or down by half of each prompt's ``sizes`` [batch], at random."""

    def __init__(self, model: StepModel, sizes: tf.Tensor) -> None:
        self._model, self._sizes, self._calls = model, sizes, 0

    @property
    def vocab_size(self) -> int:
        return self._model.vocab_size

    def prefill(
        self, prompt: Prompt, *, max_new_tokens: int, logits: Literal["last", "all"] = "last"
    ) -> tuple[tf.Tensor, Cache]:
        found, cache = self._model.prefill(prompt, max_new_tokens=max_new_tokens, logits=logits)
        return self._moved(found), cache

    def extend(self, tokens: tf.Tensor, cache: Cache) -> tuple[tf.Tensor, Cache]:
        found, cache = self._model.extend(tokens, cache)
        return self._moved(found), cache

    def _moved(self, logits: tf.Tensor) -> tf.Tensor:
        """Float32 [rows, ..., vocab]; the same moves in every run."""
        self._calls += 1
        up = tf.random.stateless_uniform(tf.shape(logits), (len(RUNGS), self._calls)) > 0.5
        size = tf.repeat(self._sizes, tf.shape(logits)[0] // tf.shape(self._sizes)[0])
        return logits + tf.where(up, 0.5, -0.5) * tf.reshape(size, [-1] + [1] * (len(logits.shape) - 1))
