"""Whether an answer is the golden one: equal, or equal up to a step that rounding may have decided.

Needs no TensorFlow: answers are plain values, rows in dimension 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporter.manifest import GoldenAnswer

#: Logits of one model differ by about 1e-4 of their range between batch sizes and machines.
LOW_MARGIN = 0.05
#: Of floats: what separates fp32 sums that were added up in another order.
TOLERANCE = 1e-3
#: The outputs whose beginning the steps of a golden answer speak of.
_SEQUENCES = ("generated_text", "generated_ids")


@dataclass(frozen=True)
class Comparison:
    """One answer: what differs; or at which low-margin step (from 0) the comparison ended."""

    problems: tuple[str, ...] = ()
    stopped_at: int | None = None
    margin: float = 0.0


def compare(golden: GoldenAnswer, outputs: Mapping[str, Any], *, whole: bool = True) -> Comparison:
    """Compares an answer of one row with the golden one.

    An answer that differs is the golden one still if it agrees up to the first step whose margin is below
    ``LOW_MARGIN``: there another rounding may choose another token, and all that follows is another text.

    Args:
      whole: False: the version's own cap ended the answer, and ``golden.max_new_tokens`` the golden one; only
        what both have is compared.
    """
    cut = not whole and golden.max_new_tokens is not None
    if cut and not golden.margins:
        return Comparison(stopped_at=0)
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
    problems = []
    if not _equal(outputs.get("error"), golden.outputs.get("error")):
        problems.append(f"error is {outputs.get('error')!r}, was {golden.outputs.get('error')!r}")
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


def summary(comparisons: list[Comparison]) -> str:
    """How many were compared whole, and which ended at a low-margin step."""
    ended = [found for found in comparisons if found.stopped_at is not None and not found.problems]
    parts = [f"{len(comparisons) - len(ended)} of {len(comparisons)} equal as a whole"]
    for found in ended:
        parts.append(
            f"one equal up to step {found.stopped_at}, whose margin {found.margin:.3g} is below {LOW_MARGIN}"
            if found.margin
            else "one not compared: it was ended early at export, and its steps are not known"
        )
    return "; ".join(parts)
