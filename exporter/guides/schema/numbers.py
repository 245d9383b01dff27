"""Numbers of a range as trees over their digits.

Whole numbers are exact, of as many digits as their bounds, and of at most 15 where a side is open. Numbers
with bounds have no exponent, at most 6 digits behind the point (as many as their bounds, if these have more)
and 9 before it where a side is open: up to 15 digits no two decimals are one binary number, so what is less
than a bound as a decimal is so for whoever parses it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from exporter.guides import charsets
from exporter.guides.machine import DEAD, Machine, minimal
from exporter.guides.syntax import EMPTY, Chars, OneOf, Repeat, Sequence, Syntax, Text, optional

OPEN_DIGITS = 15
OPEN_WHOLE_DIGITS = 9
FRACTION_DIGITS = 6
EXACT_DIGITS = 15
MOST_DIGITS = 310

Number = int | float
Natural = Callable[[int, int], Syntax]


class Bounds(NamedTuple):
    """The range of a number; None: open."""

    minimum: Number | None = None
    maximum: Number | None = None
    above: Number | None = None
    below: Number | None = None

    @property
    def given(self) -> list[Number]:
        return [bound for bound in self if bound is not None]


def _digits(low: int = 0, high: int = 9) -> Syntax:
    return Chars(charsets.ranges([(0x30 + low, 0x30 + high)]))


_DIGIT = _digits()
_NATURAL = OneOf((Text("0"), Sequence((_digits(1), Repeat(_DIGIT, 0, OPEN_DIGITS - 1)))))

#: Any number: 15 digits before the point and behind it, two in the exponent.
ANY_NUMBER = Sequence(
    (
        optional(Text("-")),
        _NATURAL,
        optional(Sequence((Text("."), Repeat(_DIGIT, 1, OPEN_DIGITS)))),
        optional(
            Sequence((Chars(charsets.of("eE")), optional(Chars(charsets.of("+-"))), Repeat(_DIGIT, 1, 2)))
        ),
    )
)


def exact(bound: Number) -> Decimal:
    """A bound as it is written; as it is in binary from where whole numbers have no exact binary."""
    return Decimal(repr(bound)) if abs(bound) < 2**53 else Decimal(int(bound))


def whole(bounds: Bounds) -> Syntax:
    """The whole numbers of a range."""
    low, high = _scaled(bounds, 0, OPEN_DIGITS)
    return _signed(low, high, _naturals)


def decimals(bounds: Bounds) -> Syntax:
    """The numbers of a range, with or without a fraction."""
    places = fraction_digits(bounds)
    low, high = _scaled(bounds, places, OPEN_WHOLE_DIGITS)
    return _signed(low, high, lambda least, most: _fractions(least, most, places))


def fraction_digits(bounds: Bounds) -> int:
    """How many digits stand behind the point at most."""
    return max(FRACTION_DIGITS, *(-int(exact(bound).as_tuple().exponent) for bound in bounds.given), 0)


def digits_needed(bounds: Bounds) -> int:
    """How many digits numbers of a range have at most, on both sides of the point."""
    return fraction_digits(bounds) + max([OPEN_WHOLE_DIGITS, *(_whole_digits(b) for b in bounds.given)])


def _whole_digits(bound: Number) -> int:
    return len(str(abs(int(exact(bound)))))


def _scaled(bounds: Bounds, places: int, open_digits: int) -> tuple[int, int]:
    """The least and the greatest number of a range in units of its last place."""
    most = 10 ** (max([open_digits, *map(_whole_digits, bounds.given)]) + places) - 1
    least, greatest = -most, most
    for bound, strict in ((bounds.minimum, False), (bounds.above, True)):
        if bound is not None:
            scaled = _shifted(bound, places)
            up = -(-scaled[0] // scaled[1])
            least = max(least, up + (strict and up * scaled[1] == scaled[0]))
    for bound, strict in ((bounds.maximum, False), (bounds.below, True)):
        if bound is not None:
            scaled = _shifted(bound, places)
            down = scaled[0] // scaled[1]
            greatest = min(greatest, down - (strict and down * scaled[1] == scaled[0]))
    return least, greatest


def _shifted(bound: Number, places: int) -> tuple[int, int]:
    numerator, denominator = exact(bound).as_integer_ratio()
    return numerator * 10**places, denominator


def _signed(low: int, high: int, natural: Natural) -> Syntax:
    """Both signs; zero has none."""
    arms = [natural(max(low, 0), high)] if high >= 0 else []
    if low < 0:
        arms.append(Sequence((Text("-"), natural(max(-high, 1), -low))))
    return OneOf(tuple(arms))


def _naturals(low: int, high: int) -> Syntax:
    """The whole numbers from ``low`` to ``high``, without leading zeros; none where that is less."""
    arms = [
        _between(str(max(low, 10 ** (size - 1) if size > 1 else 0)), str(min(high, 10**size - 1)))
        for size in range(len(str(low)), len(str(max(high, 0))) + 1)
        if max(low, 10 ** (size - 1) if size > 1 else 0) <= min(high, 10**size - 1)
    ]
    return OneOf(tuple(arms))


def _between(low: str, high: str) -> Syntax:
    """Digits of one length, from ``low`` to ``high``."""
    if not low:
        return EMPTY
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    if first == last:
        return Sequence((Text(low[0]), _between(low[1:], high[1:])))
    arms: list[Syntax] = []
    if int(low[1:] or 0) > 0:
        arms.append(Sequence((Text(low[0]), _between(low[1:], "9" * rest))))
        first += 1
    if int(high[1:] or 9) < int("9" * rest or 9):
        arms.append(Sequence((Text(high[0]), _between("0" * rest, high[1:]))))
        last -= 1
    if first <= last:
        arms.append(Sequence((_digits(first, last), Repeat(_DIGIT, rest, rest))))
    return OneOf(tuple(arms))


def _fractions(low: int, high: int, places: int) -> Syntax:
    """Numbers from ``low`` to ``high`` in units of the last place."""
    if low > high:
        return OneOf(())
    unit = 10**places
    (first, after), (last, before) = divmod(low, unit), divmod(high, unit)
    least, most = (str(part).zfill(places) for part in (after, before))
    if first == last:
        return Sequence((Text(str(first)), _fraction(least, most, places)))
    return OneOf(
        (
            Sequence((Text(str(first)), _fraction(least, None, places))),
            Sequence((_naturals(first + 1, last - 1), _fraction(None, None, places))),
            Sequence((Text(str(last)), _fraction(None, most, places))),
        )
    )


def _fraction(low: str | None, high: str | None, places: int) -> Syntax:
    """A point and digits from ``low`` to ``high``; nothing, where zero is in that range."""
    return _or_nothing(low, Sequence((Text("."), _behind_point(low, high, places))))


def _or_nothing(low: str | None, syntax: Syntax) -> Syntax:
    """Digits that are missing are zeros."""
    return syntax if low and int(low) else optional(syntax)


def _behind_point(low: str | None, high: str | None, places: int) -> Syntax:
    """One to ``places`` digits, that stand for no less than ``low`` and no more than ``high``."""
    if low is None and high is None:
        return Repeat(_DIGIT, 1, places) if places else OneOf(())
    if not places:
        return OneOf(())
    arms: list[Syntax] = []
    for digit in range(10):
        if (low and digit < int(low[0])) or (high and digit > int(high[0])):
            continue
        lower = low[1:] if low and digit == int(low[0]) else None
        upper = high[1:] if high and digit == int(high[0]) else None
        rest = _behind_point(lower, upper, places - 1)
        arms.append(Sequence((_digits(digit, digit), _or_nothing(lower, rest))))
    return OneOf(tuple(arms))


def multiples(divisor: int) -> Machine:
    """The whole numbers that are multiples: a state per remainder."""
    edges = np.full((divisor + 2, 256), DEAD, np.int32)
    digits = np.arange(10)
    edges[:2, 0x30:0x3A] = 2 + digits % divisor
    edges[0, ord("-")] = 1
    edges[2:, 0x30:0x3A] = 2 + (10 * np.arange(divisor)[:, None] + digits) % divisor
    accepting = np.zeros(divisor + 2, np.bool_)
    accepting[2] = True
    return minimal(edges, accepting)
