"""Checkpoints on disk: where they are, whether they are whole, and their tensors, read lazily.

Formats: docs/formats.md. A pickle is never opened; a checkpoint that has pickled weights alone is refused.
"""

from __future__ import annotations

from exporter.checkpoint.checkpoint import Checkpoint
from exporter.checkpoint.locate import Location, locate
from exporter.checkpoint.opening import open_checkpoint, tokenizer_files
from exporter.checkpoint.tensor import StoredTensor

__all__ = ["Checkpoint", "Location", "StoredTensor", "locate", "open_checkpoint", "tokenizer_files"]
