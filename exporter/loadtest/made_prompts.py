"""Prompts of wanted lengths, made of plain words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np

Count = Callable[[Sequence[str]], Awaitable[list[int | None]]]

_FIRST = "the"
_TEXT = """
a about after all and are as at back be because been before big but by came can come could day did do
down each even eyes far few find first for found from garden get give go good great had hand hard has
have head help her here high him his home house how if in into is it just keep kind know land large last
left life light like line little live long look made make man many may me more morning most move much
must my name near never new next night no not now of off old on once one only open or other our out over
own part people place play put rain read right river road said same saw say school sea see she should
show side sing small so some song soon start still stop story such sun take talk tell than that their
them then there these they thing think this those thought three through time to together told too took
tree turn two under until up upon us use very walk want warm was water way we well went were what when
where which while white who why will wind with woman word work world would year you young your
"""
_WORDS = _TEXT.split()


async def make_prompts(lengths: Sequence[int], count: Count, generator: np.random.Generator) -> list[str]:
    """A text for each length, in tokens of the server's own tokenizer where it counts them, else in words.

    What a word adds behind others is taken as the same everywhere, which is so of tokenizers that part words;
    of others a text is a little longer or shorter. No text is shorter than its first word.

    Args:
      count: tokens of texts; None of one that nobody can count.
    """
    first, *others = await count([_FIRST, *(f"{_FIRST} {word}" for word in _WORDS)])
    base = first if first is not None else 1
    costs = [max(1, other - base) if other is not None else 1 for other in others]
    return [_text(length - base, costs, generator) for length in lengths]


def _text(left: int, costs: Sequence[int], generator: np.random.Generator) -> str:
    """The first word and as many as fit into so many tokens."""
    words = [_FIRST]
    cheapest = min(costs)
    while left >= cheapest:
        place = int(generator.integers(len(costs)))
        if costs[place] <= left:
            words.append(_WORDS[place])
            left -= costs[place]
    return " ".join(words)
