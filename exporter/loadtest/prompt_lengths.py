"""How long made prompts are, in tokens: a distribution, as ``--prompt-tokens`` names it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exporter.errors import OptionError

_FORMS = "N, MIN-MAX, lognormal:MEDIAN:SIGMA or buckets"
#: Where no longest bucket is known: a tail of a distribution shall not fill the memory.
_LONGEST = 200_000
#: And where nothing is asked for either: of every prompt.
_UNSAID = 32


@dataclass(frozen=True)
class PromptLengths:
    """A distribution of whole numbers from 1.

    Attributes:
      kind: "uniform" from ``low`` to ``high``, "lognormal" with the median ``low``, or "buckets": every
        length bucket as often, and within it every length that the next smaller bucket does not hold.
      sigma: of the logarithm.
    """

    kind: str
    low: int = 1
    high: int = 1
    sigma: float = 0.0

    @classmethod
    def unsaid(cls, buckets: Sequence[int], longest: int | None) -> PromptLengths:
        """Where nobody asks for one: buckets where they are known, else every length that is taken."""
        if buckets:
            return cls("buckets")
        return cls("uniform", *((_UNSAID, _UNSAID) if longest is None else (1, longest)))

    def __str__(self) -> str:
        """As ``parse`` reads it."""
        if self.kind == "uniform":
            return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"
        return "buckets" if self.kind == "buckets" else f"lognormal:{self.low}:{self.sigma}"

    @classmethod
    def parse(cls, text: str) -> PromptLengths:
        """Reads ``"32"``, ``"8-64"``, ``"lognormal:40:0.8"`` or ``"buckets"``.

        Raises:
          OptionError: another form, or a number that cannot be.
        """
        if text == "buckets":
            return cls("buckets")
        if match := re.fullmatch(r"(\d+)(?:-(\d+))?", text):
            low = int(match[1])
            made = cls("uniform", low, int(match[2] or low))
        elif match := re.fullmatch(r"lognormal:(\d+):(\d+\.?\d*|\.\d+)", text):
            made = cls("lognormal", int(match[1]), sigma=float(match[2]))
        else:
            raise OptionError(f"--prompt-tokens: {text!r} is no distribution; allowed: {_FORMS}")
        if made.low < 1 or (made.kind == "uniform" and made.high < made.low) or made.sigma > 10:
            raise OptionError(
                f"--prompt-tokens: {text!r}: lengths are 1 or more, MAX at least MIN, SIGMA at most 10"
            )
        return made

    def draw(
        self, generator: np.random.Generator, count: int, buckets: Sequence[int], longest: int | None
    ) -> list[int]:
        """So many lengths; none is above ``longest``.

        Raises:
          OptionError: longer ones are asked for, or those of buckets where none are known.
        """
        if self.kind == "buckets":
            if not buckets:
                raise OptionError(
                    "--prompt-tokens: the server tells no length buckets; give --manifest OUT/NAME/VERSION, "
                    f"--prompts FILE or lengths: {_FORMS}"
                )
            return [self._of_bucket(generator, buckets) for _ in range(count)]
        if longest is not None and self.high > longest:
            raise OptionError(f"--prompt-tokens: up to {self.high} tokens; the longest bucket has {longest}")
        if self.kind == "uniform":
            drawn = generator.integers(self.low, self.high, count, endpoint=True)
        else:
            drawn = np.rint(generator.lognormal(math.log(self.low), self.sigma, count))
        return [int(length) for length in np.clip(drawn, 1, longest or _LONGEST)]

    @staticmethod
    def _of_bucket(generator: np.random.Generator, buckets: Sequence[int]) -> int:
        place = int(generator.integers(len(buckets)))
        low = buckets[place - 1] + 1 if place else 1
        return int(generator.integers(low, buckets[place], endpoint=True))
