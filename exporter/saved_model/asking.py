"""Requests to a loaded SavedModel's signatures, as plain Python values; answers can be kept short."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


class Loaded:
    """A version as TensorFlow loads it; ``signatures`` by name."""

    def __init__(self, directory: Path) -> None:
        self._version = tf.saved_model.load(str(directory))
        self.signatures: Any = self._version.signatures

    @property
    def weights(self) -> Mapping[str, tf.Variable]:
        """The model's variables, by the names of its weights."""
        return dict(self._version.step_model.weights)

    @property
    def prefix(self) -> Mapping[str, tf.Variable]:
        """Those of a baked prefix."""
        return dict(self._version.step_model.prefix)

    @property
    def guides(self) -> Mapping[str, Any]:
        """Tables of guides, by ``ProgramKey.guides_name``."""
        return dict(self._version.guides)

    def limit(self, max_new_tokens: int | None) -> None:
        """From now on answers end after this many tokens where their request asks for no number; None: at
        the version's own cap.

        It is a variable of the version, read by every signature beside the exported options, so that an
        answer's beginning can be checked however many tokens the version may generate.
        """
        if max_new_tokens is not None or hasattr(self._version, "answer_limit"):
            self._version.answer_limit.assign(max_new_tokens or tf.int32.max)


def ask(signatures: Any, name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """One request; strings come back as str, everything else as plain numbers."""
    specs = signatures[name].structured_input_signature[1]
    tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
    return {key: _plain(value.numpy()) for key, value in signatures[name](**tensors).items()}


def _plain(value: np.ndarray) -> Any:
    if value.dtype == object:
        return np.vectorize(lambda item: item.decode("utf-8"), otypes=[object])(value).tolist()
    return value.tolist()


def width(signatures: Any, name: str) -> int:
    """How many ids a row of a signature holds."""
    return int(signatures[name].structured_input_signature[1]["input_ids"].shape[1])
