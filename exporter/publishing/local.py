"""Publishes a version directory: written aside, then renamed, so that no server ever sees half of one.

TensorFlow Serving loads sub-directories with numeric names and ignores all others; a rename within one file
system is atomic. Killed at any moment, an export leaves every numbered folder whole, and the next one removes
the rest (``staging``).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from exporter import durable
from exporter.errors import OutputError
from exporter.publishing import numbers, staging
from exporter.publishing.owners import Owner, heartbeat

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@dataclass(frozen=True)
class Staged:
    """A version that is being written: its reserved number, and the folder to fill."""

    version: int
    path: Path


@contextmanager
def staged_version(servable: Path, version: int | None = None, *, force: bool = False) -> Iterator[Staged]:
    """Reserves a number and yields an empty folder; publishes it under the number when the block ends well.

    On an error nothing is left: neither the number, nor what was written, nor folders made on the way.

    Args:
      servable: the folder of versions.
      version: the number; None: the next free one.
      force: whether a version that exists is replaced.

    Raises:
      OutputError: the version exists or is being exported by another process, ``servable`` cannot be written,
        or its file system is full.
    """
    numbers.check_folder(servable)
    made = [path for path in (servable, *servable.parents) if not path.exists()]
    try:
        with _errors(servable):
            for path in reversed(made):  # of a parent the error names the parent
                with _errors(path):
                    path.mkdir(exist_ok=True)
            for path in made:
                durable.sync(path.parent)
            number, owner, folder = _reserve(servable, version, force=force)
            try:
                with heartbeat(folder):
                    yield Staged(number, folder / owner.name)
                _publish(servable, number, folder / owner.name, force=force)
            finally:
                with suppress(OSError):
                    staging.discard(servable, folder)
    finally:
        for path in made:  # the deepest first; one that holds something stays
            with suppress(OSError):
                path.rmdir()


@contextmanager
def _errors(servable: Path) -> Iterator[None]:
    """An OSError that comes from ``servable``, or a full disk, becomes an OutputError."""
    try:
        yield
    except OSError as error:
        inside = str(error.filename or "").startswith(str(servable))
        if not inside and error.errno not in _FULL:
            raise
        raise OutputError(f"{servable} cannot be written: {error.strerror or error}") from error


def _reserve(servable: Path, version: int | None, *, force: bool) -> tuple[int, Owner, Path]:
    """Takes a number: returns it, the owner's name and the folder ``.reserved-NUMBER``."""
    owner, folder = staging.begin(servable)
    try:
        with durable.locked(servable):
            staging.clean(servable, now=folder.stat().st_mtime)
            while True:
                number = numbers.choose_version(servable, version, force=force)
                reservation = numbers.reserved(servable, number)
                if _claim(folder, reservation):
                    folder = reservation
                    # Published between the look and the claim? From here on, no other export can.
                    if force or number not in numbers.version_folders(servable):
                        return number, owner, folder
                elif version is not None:
                    raise OutputError(_being_exported(servable, number))
    except BaseException:
        with suppress(OSError):
            staging.discard(servable, folder)
        raise


def _claim(folder: Path, target: Path) -> bool:
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        raise
    return True


def _being_exported(servable: Path, number: int) -> str:
    owner = staging.owner_of(numbers.reserved(servable, number))
    return (
        f"version {number} of {servable} is being exported by {owner or 'another process'}: wait for it, or "
        "give another --version"
    )


def _publish(servable: Path, number: int, written: Path, *, force: bool) -> None:
    """Renames what was written to its number; with ``force``, a version there is moved aside first."""
    if not written.is_dir():
        raise OutputError(f"version {number} of {servable}: another export took it for abandoned")
    durable.sync_tree(written)
    old = numbers.version_folders(servable).get(number)
    aside = staging.replaced(written.parent, old) if old is not None else None
    if old is not None and aside is not None:
        if not force:
            raise OutputError(_appeared(servable, number))
        old.rename(aside)
    try:
        written.rename(servable / str(number))
    except OSError as error:
        if old is not None and aside is not None:
            aside.rename(old)
        if error.errno in _TAKEN:
            raise OutputError(_appeared(servable, number)) from None
        raise
    durable.sync(servable)


def _appeared(servable: Path, number: int) -> str:
    return f"version {number} has appeared in {servable} meanwhile: nothing was replaced, export again"
