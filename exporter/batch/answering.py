"""A version in this process, asked in full buckets: which rows share a call changes no answer.

Every call has the largest batch size and rows of one length bucket, so a row meets the same compiled program
whoever its neighbours are; where rows are missing, rows that answer with an error stand in, and cost no step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exporter.batch.columns import Request
from exporter.manifest import Manifest, SignatureInfo

#: Not valid UTF-8: a row that the signature answers with an error.
_FILLER = b"\xff"


class Answerer:
    """Loads a version once and answers rows of one signature."""

    def __init__(self, model: Path, signature: str) -> None:
        import tensorflow as tf
        import tensorflow_text  # noqa: F401  (registers the ops that a tokenizer graph may hold)

        manifest = Manifest.read(model)
        self._version = tf.saved_model.load(str(model))  # the signatures do not keep it alive
        self._signatures = self._version.signatures
        self._info: SignatureInfo = manifest.signatures[signature]
        self._function = self._signatures[signature]
        self.batch_size = manifest.buckets.batch_sizes[-1]
        self._lengths = manifest.buckets.prompt_lengths
        self._texts = [name for name, info in self._info.inputs.items() if info.dtype == "string"]

    def answer(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """The outputs of every request, in order; ``error`` of a bad row says why."""
        answers: list[dict[str, Any]] = [{} for _ in requests]
        by_bucket: dict[int, list[int]] = {}
        for place, length in enumerate(self._counts(requests)):
            bucket = int(np.searchsorted(self._lengths, min(length, self._lengths[-1])))
            by_bucket.setdefault(bucket, []).append(place)
        for _, places in sorted(by_bucket.items()):
            for start in range(0, len(places), self.batch_size):
                chosen = places[start : start + self.batch_size]
                for place, outputs in zip(chosen, self._call([requests[i] for i in chosen]), strict=True):
                    answers[place] = outputs
        return answers

    def _counts(self, requests: Sequence[Request]) -> list[int]:
        """How many tokens each row's texts make, a call of ``encode`` for each input that is a text."""
        totals = np.zeros(len(requests), np.int64)
        for name in self._texts:
            texts = [request.inputs[name] for request in requests]
            totals += self._encode(texts)
        return [max(1, int(total)) for total in totals]

    def _encode(self, texts: list[bytes]) -> Any:
        import tensorflow as tf

        if "encode" not in self._signatures:
            return np.array([len(text) for text in texts])
        return self._signatures["encode"](text=tf.constant(texts, tf.string))["num_tokens"].numpy()

    def _call(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        import tensorflow as tf

        missing = self.batch_size - len(requests)
        last = requests[-1].inputs
        tensors = {}
        for name, info in self._info.inputs.items():
            filler = _FILLER if info.dtype == "string" else last[name]
            column = [request.inputs[name] for request in requests] + [filler] * missing
            tensors[name] = tf.constant(column, tf.dtypes.as_dtype(info.dtype))
        outputs = {name: value.numpy() for name, value in self._function(**tensors).items()}
        return [_row(outputs, place) for place in range(len(requests))]


def _row(outputs: Mapping[str, Any], place: int) -> dict[str, Any]:
    return {name: _plain(values[place]) for name, values in outputs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
