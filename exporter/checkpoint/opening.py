"""From a place to the checkpoint that lies there: the one decision about its format."""

from __future__ import annotations

from pathlib import Path

from exporter.checkpoint.checkpoint import Checkpoint


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at ``path``.

    Raises:
      CheckpointError: no known format, or one that cannot be read.
    """
    return Checkpoint(path)
