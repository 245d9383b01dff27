"""A version in this process, asked in full buckets: which rows share a call changes no answer.

Every call has the largest batch size and rows of one length bucket, so a row meets the same compiled program
whoever its neighbours are; where rows are missing, rows that answer with an error stand in, and cost no step.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from exporter.batch.batches import batches
from exporter.batch.columns import Request
from exporter.manifest import Manifest

#: Not valid UTF-8: a row that the signature answers with an error.
_FILLER = b"\xff"
#: Calls side by side on a CPU: while one is in a part that runs on one thread, the other has the rest.
_CALLS = 2


class Answerer:
    """Loads a version once and answers rows of one signature.

    Args:
      calls: how many run side by side; 0: as many as suit what the version was exported for.
    """

    def __init__(self, model: Path, manifest: Manifest, signature: str, calls: int = 0) -> None:
        import tensorflow_text  # noqa: F401  (registers the ops that a tokenizer graph may hold)

        from exporter.saved_model.asking import Loaded

        self._version = Loaded(model)  # the signatures do not keep it alive
        self._name, self._info = signature, manifest.signatures[signature]
        self.batch_size = manifest.buckets.batch_sizes[-1]
        self._lengths = manifest.buckets.prompt_lengths
        self._texts = [name for name, info in self._info.inputs.items() if info.dtype == "string"]
        self._calls = calls or (_CALLS if manifest.model.target == "cpu" else 1)

    def answer(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """The outputs of every request, in order; ``error`` of a bad row says why."""
        answers: list[dict[str, Any]] = [{} for _ in requests]
        new_tokens = [request.inputs.get("max_new_tokens", 0) for request in requests]
        calls = batches(self.lengths(requests), new_tokens, self._lengths, self.batch_size)
        with ThreadPoolExecutor(self._calls) as pool:
            outputs = pool.map(lambda places: self._call([requests[place] for place in places]), calls)
            for places, rows in zip(calls, outputs, strict=True):
                for place, row in zip(places, rows, strict=True):
                    answers[place] = row
        return answers

    def lengths(self, requests: Sequence[Request]) -> list[int]:
        """How many tokens each row's texts make, a call of ``encode`` for each input that is a text."""
        totals = np.zeros(len(requests), np.int64)
        for name in self._texts:
            totals += self._encode([request.inputs[name] for request in requests])
        return [max(1, int(total)) for total in totals]

    def _encode(self, texts: list[bytes]) -> Any:
        from exporter.saved_model.asking import ask

        if "encode" not in self._version.signatures:
            return np.array([len(text) for text in texts], np.int64)
        return np.array(ask(self._version.signatures, "encode", {"text": texts})["num_tokens"], np.int64)

    def _call(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        from exporter.saved_model.asking import ask

        missing = self.batch_size - len(requests)
        last = requests[-1].inputs
        columns = {}
        for name, info in self._info.inputs.items():
            filler = _FILLER if info.dtype == "string" else last[name]
            columns[name] = [request.inputs[name] for request in requests] + [filler] * missing
        outputs = ask(self._version.signatures, self._name, columns)
        return [{name: values[place] for name, values in outputs.items()} for place in range(len(requests))]
