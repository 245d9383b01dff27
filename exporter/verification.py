"""Whether a version still answers as it did when it was exported.

Everything here goes through a reloaded SavedModel's signatures, as a server's requests do.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow_text  # noqa: F401  (registers the ops that a tokenizer graph may hold)

from exporter.errors import VerificationError, raise_all
from exporter.manifest import Manifest
from exporter.saved_model.asking import Loaded, ask


def verify_version(directory: Path) -> int:
    """Replays the golden answers of a version's manifest; returns how many there were.

    Raises:
      VerificationError: an answer differs; all that differ are listed.
    """
    manifest = Manifest.read(directory)
    loaded = Loaded(directory)
    problems = []
    for golden in manifest.golden:
        loaded.limit(golden.max_new_tokens)
        answer = ask(loaded.signatures, golden.signature, golden.inputs)
        problems += [
            f"{golden.signature}({golden.inputs}): {name} is {answer[name]!r}, was {golden.outputs[name]!r}"
            for name in golden.outputs
            if answer.get(name) != golden.outputs[name]
        ]
    raise_all(VerificationError, f"{directory} answers differently than when it was exported:", problems)
    return len(manifest.golden)
