"""A tensor in a checkpoint of any format: what is known of it before it is read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True)
class StoredTensor(ABC):
    """What every format gives a tensor.

    Attributes:
      name: as the reference names it.
      dtype: as safetensors spells it (``F32``, ``BF16``), or a quantised type's own name.
      shape: of the array that ``read`` returns.
      path: the file that holds it, for messages.
      nbytes: bytes in that file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    nbytes: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def floating(self) -> bool:
        """Whether it holds floating-point numbers, of whatever width."""
        return "F" in self.dtype

    @abstractmethod
    def read(self) -> npt.NDArray[Any]:
        """The whole tensor; nothing of it is kept here."""


@dataclass(frozen=True)
class LazyTensor(StoredTensor):
    """A tensor that a function reads, such as one that is made of other stored ones."""

    load: Callable[[], npt.NDArray[Any]]

    def read(self) -> npt.NDArray[Any]:
        """What ``load`` returns."""
        return self.load()
