"""Requests to a loaded SavedModel's signatures, as plain Python values."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


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
