"""Weights in int8: a scale for every output channel, symmetric, with nothing to calibrate.

A kernel [..., in, out] becomes int8 of the same shape and float32 scales [..., out] under the name with
``_scale`` behind it; it stands for ``kernel / UNIT * scale``. The division keeps a product with it as small
as the weight's own, so that float16 does not overflow. Of a token table every token has a scale, whichever
axis that is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from exporter.weights import WeightInfo, Weights

Array = npt.NDArray[Any]

#: What an int8 number counts in: a power of two, so that every float type holds its multiples exactly.
UNIT = 128
#: The largest number that is used: -128 has no counterpart.
_MOST = 127
#: A router decides which weights are read at all; a gate is one column; what makes keys and values of latents
#: is multiplied from either side, and channels of one side are none of the other; rates and time steps say
#: how fast a state forgets, over the whole text; what mixes the parts of a residual stream has a few columns.
_KEPT = (
    "moe.router.kernel",
    "moe.shared_gate.kernel",
    "altup.correct.kernel",
    "altup.predict.kernel",
    "altup.router.kernel",
    "attention.k_b.kernel",
    "attention.v_b.kernel",
    "state.rates.kernel",
    "state.select.kernel",
    "state.step.kernel",
)
_TABLES = ("head.kernel", "embedding.tokens", "encoder.embedding.tokens")


def is_int8(name: str, *, tables: bool) -> bool:
    """Whether a weight is stored in int8; ``tables``: the token embedding and the output head too."""
    return tables if name in _TABLES else name.endswith(".kernel") and not name.endswith(_KEPT)


def scale_name(name: str) -> str:
    """The name of a weight's scales."""
    return f"{name}_scale"


def quantise(array: Array, axis: int = -2) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """A float array as int8 and scales; ``axis`` runs over the inputs, and is gone from the scales."""
    wide = array.astype(np.float32)
    most = np.abs(wide).max(axis=axis, keepdims=True)
    steps = np.where(most > 0, most, np.float32(_MOST)) / np.float32(_MOST)
    wide /= steps
    np.rint(wide, out=wide)
    return wide.astype(np.int8), (np.squeeze(steps, axis) * np.float32(UNIT)).astype(np.float32)


class Int8Weights(Weights):
    """``weights`` with those that ``is_int8`` names in int8, and their scales behind them.

    Those that stay in float32 in a float16 model stay so. Nothing but scales is kept of what was read.
    """

    def __init__(self, weights: Weights, *, tables: bool) -> None:
        self._weights = weights
        self._scales: dict[str, npt.NDArray[np.float32]] = {}
        self.infos: dict[str, WeightInfo] = {}
        item = min(info.dtype.itemsize for info in weights.infos.values())
        for name, info in weights.infos.items():
            self.infos[name] = info
            if is_int8(name, tables=tables) and info.dtype.itemsize == item:
                self.infos[name] = WeightInfo(info.shape, np.dtype(np.int8))
                channels = tuple(np.delete(info.shape, self._axis(name)).tolist())
                self.infos[scale_name(name)] = WeightInfo(channels, np.dtype(np.float32))

    def __getitem__(self, name: str) -> Array:
        if self.infos[name].dtype == np.int8:
            return self._quantised(name)
        if name in self._weights:
            return self._weights[name]
        if name not in self._scales:
            self._quantised(name.removesuffix(scale_name("")))
        return self._scales[name]

    def _quantised(self, name: str) -> npt.NDArray[np.int8]:
        array, self._scales[scale_name(name)] = quantise(self._weights[name], self._axis(name))
        return array

    def _axis(self, name: str) -> int:
        """Of the inputs: a token table lies by row, unless it is the output head too."""
        tied = name == "embedding.tokens" and "head.kernel" not in self._weights
        return -1 if name.endswith("embedding.tokens") and not tied else -2
