"""Files and folders that are whole on disk, or not there: what no crash can halve."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """``write_bytes`` of a text in UTF-8."""
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replaces ``path`` in one step: written aside, with its mode from the start, forced to disk, renamed.

    The name itself is on disk after ``sync`` of the folder.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # the umask may have taken bits away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


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


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time, where the file system can lock; not twice within one process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
