"""A model's weights, one at a time: what is known of all of them before any is read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class WeightInfo:
    """Shape and dtype of a weight, as it is stored in the version."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class WeightPart(NamedTuple):
    """What is read at once: a weight, or an entry of its first axis.

    Attributes:
      name: of the weight.
      entry: None for all of it.
      nbytes: of this part.
      read: a fresh array.
    """

    name: str
    entry: int | None
    nbytes: int
    read: Callable[[], npt.NDArray[Any]]


class Weights(Mapping[str, npt.NDArray[Any]]):
    """Arrays by our names. Looking one up reads it, and nothing of it is kept here.

    Attributes:
      infos: shapes and dtypes, in the order that is best to read in.
    """

    infos: Mapping[str, WeightInfo]

    @abstractmethod
    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A fresh array of that shape and dtype."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    def __contains__(self, name: object) -> bool:
        return name in self.infos

    def parts(self) -> Iterator[WeightPart]:
        """All weights, in the order that is best to read in: whole where nothing else is said."""
        for name, info in self.infos.items():
            yield WeightPart(name, None, info.nbytes, partial(self.__getitem__, name))
