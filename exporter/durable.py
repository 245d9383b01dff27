"""Files and folders that are whole on disk, or not there: what no crash can halve."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replaces ``path`` in one step: written aside, with its mode from the start, forced to disk, renamed."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)  # the umask may have taken bits away
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Forces a file's bytes, or a folder's names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """``sync`` of everything below, the deepest first, and of ``directory`` itself."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            sync(Path(folder) / name)
        sync(Path(folder))
