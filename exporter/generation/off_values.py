"""Values with which the reference leaves an option unused: -1 for a length, 2.0 for top_p.

From ``GenerationMixin._get_logits_processor`` and ``GenerationConfig.get_generation_mode`` of transformers 5
(src/transformers/generation). Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Off(NamedTuple):
    """``holds`` for numbers with which an option is off; ``neutral`` is how we say so."""

    holds: Callable[[float], bool]
    neutral: Any


def _at_most(bound: float, neutral: Any) -> Off:
    return Off(lambda value: value <= bound, neutral)


def _outside_0_to_1(value: float) -> bool:
    return not 0.0 < value < 1.0


OFF: dict[str, Off] = {
    "min_length": _at_most(0, 0),
    "min_new_tokens": _at_most(0, 0),
    "no_repeat_ngram_size": _at_most(0, 0),
    "encoder_no_repeat_ngram_size": _at_most(0, 0),
    "top_p": Off(lambda value: value >= 1.0, 1.0),
    "typical_p": Off(lambda value: value >= 1.0, 1.0),
    "epsilon_cutoff": Off(_outside_0_to_1, 0.0),
    "eta_cutoff": Off(_outside_0_to_1, 0.0),
    "penalty_alpha": _at_most(0, 0),
    "num_beam_groups": _at_most(1, 1),
    "diversity_penalty": _at_most(0, 0),
    # No token has such an id; the end-of-sequence token fills.
    "pad_token_id": _at_most(-1, None),
}

# Read only with do_sample.
SAMPLING = frozenset(
    {"temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"}
)


def is_number(value: Any) -> bool:
    """Whether it is an int or a float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def neutral_of(name: str, value: Any) -> Any:
    """The value, or what stands for "off" where the reference takes it so."""
    return OFF[name].neutral if name in OFF and is_number(value) and OFF[name].holds(value) else value
