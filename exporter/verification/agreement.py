"""Whether an answer is the golden one: equal, or equal up to a step that rounding may have decided.

Needs no TensorFlow: answers are plain values, rows in dimension 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from exporter.manifest import GoldenAnswer

#: Logits of one model differ by about 1e-4 of their range between batch sizes and machines.
LOW_MARGIN = 0.05
#: Of floats: what separates fp32 sums that were added up in another order.
TOLERANCE = 1e-3
#: The outputs that no choice of a token changes; of ``next_token`` the probabilities, whose order holds them.
_ALWAYS = ("error", "probabilities")
#: The outputs whose beginning the steps of a golden answer speak of.
_SEQUENCES = ("generated_text", "generated_ids")


@dataclass(frozen=True)
class Comparison:
    """One answer: what differs; or at which low-margin step (from 0) the comparison ended.

    ``left_out``: what of it was not compared, and why.
    """

    problems: tuple[str, ...] = ()
    stopped_at: int | None = None
    margin: float = 0.0
    left_out: str = ""


def compare(golden: GoldenAnswer, outputs: Mapping[str, Any], *, whole: bool = True) -> Comparison:
    """Compares an answer of one row with the golden one.

    An answer that differs is the golden one still if it agrees up to the first step whose margin is below
    ``LOW_MARGIN``: there another rounding may choose another token, and all that follows is another text.

    Args:
      whole: False: the version's own cap ended the answer, and ``golden.max_new_tokens`` the golden one; only
        what both have is compared.
    """
    found = _compared(golden, outputs, cut=not whole and golden.max_new_tokens is not None)
    unsure = f" ({golden.unsure})" if golden.unsure and found.problems else ""
    problems = tuple(f"{problem}{unsure}" for problem in found.problems)
    return replace(found, problems=problems, left_out=found.left_out or golden.not_compared)


def _compared(golden: GoldenAnswer, outputs: Mapping[str, Any], *, cut: bool) -> Comparison:
    if cut and not any(golden.decided):
        why = golden.unsure or "which of its steps fix what is not known"
        return Comparison(stopped_at=0, left_out=f"all of it: it was ended early at export, and {why}")
    problems = [
        f"{name} is {outputs.get(name)!r}, was {value!r}"
        for name, value in golden.outputs.items()
        if not (cut and name != "error") and not _equal(outputs.get(name), value)
    ]
    if not problems and not cut:
        return Comparison()
    if not golden.margins:
        return Comparison(tuple(problems))
    low = next((at for at, margin in enumerate(golden.margins) if margin < LOW_MARGIN), None)
    if low is None and not cut:
        return Comparison(tuple(problems))
    step = len(golden.decided) - 1 if low is None else low
    begun = _begun(golden, outputs, golden.decided[step])
    return Comparison(begun, step, golden.margins[step]) if low is not None else Comparison(begun)


def _begun(golden: GoldenAnswer, outputs: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """What differs in the first ``count`` characters or ids; a row that failed differs."""
    problems = [
        f"{name} is {outputs.get(name)!r}, was {golden.outputs[name]!r}"
        for name in _ALWAYS
        if name in golden.outputs and not _equal(outputs.get(name), golden.outputs[name])
    ]
    for name in _SEQUENCES:
        if name in golden.outputs:
            was, now = golden.outputs[name][0][:count], (outputs.get(name) or [[]])[0][:count]
            if was != now:
                problems.append(f"{name} begins {now!r}, began {was!r}")
    return tuple(problems)


def _equal(one: Any, other: Any) -> bool:
    """Equal nests; floats within ``TOLERANCE``, NaN as NaN."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, float) and isinstance(other, int | float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)


def uncompared(comparisons: list[Comparison]) -> list[str]:
    """The problem that answers were there, and no step of any could be compared."""
    ended = [one.stopped_at == 0 and not one.problems for one in comparisons]
    return (
        [f"none of the {len(ended)} answers could be compared: {summary(comparisons)}"] if all(ended) else []
    )


def summary(comparisons: list[Comparison]) -> str:
    """How many were compared whole, which ended at a low-margin step, and what was left out."""
    ended = [found for found in comparisons if found.stopped_at is not None and not found.left_out]
    parted = Counter(found.left_out for found in comparisons if found.left_out)
    whole = len(comparisons) - len(ended) - parted.total()
    parts = [f"{whole} of {len(comparisons)} equal as a whole"]
    parts += [
        f"one equal up to step {found.stopped_at}, whose margin {found.margin:.3g} is below {LOW_MARGIN}"
        for found in ended
    ]
    parts += [f"of {count} not compared: {what}" for what, count in parted.items()]
    return "; ".join(parts)
