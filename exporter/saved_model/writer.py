"""Publishes a version directory: written aside, then renamed, so that no server ever sees half of one.

TensorFlow Serving loads sub-directories with numeric names and ignores all others; the staging
directory's name is not numeric, and a rename within one file system is atomic.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from exporter.errors import OutputError
from exporter.manifest import Manifest

_STAGING_PREFIX = ".staging-"
_REPLACED_SUFFIX = "-replaced"


def choose_version(servable: Path, version: int | None, *, force: bool) -> int:
    """The version to write: the given one, or the next free one (1 in an empty directory).

    Raises:
      OutputError: the version exists and ``force`` is not set.
    """
    existing = sorted(int(child.name) for child in _children(servable) if child.name.isdecimal())
    if version is None:
        return existing[-1] + 1 if existing else 1
    if version in existing and not force:
        raise OutputError(
            f"version {version} exists in {servable}: give --force to replace it, or another --version "
            f"(next free: {existing[-1] + 1})"
        )
    return version


def refuse_other_source(servable: Path, model: str) -> None:
    """Two models may derive the same name: the versions of one servable are one model's, unless asked for.

    Raises:
      OutputError: a version there was exported from another source than ``model``.
    """
    for child in _children(servable):
        if not child.name.isdecimal():
            continue
        try:
            source = Manifest.read(child).model.source
        except (OSError, ValidationError):
            continue
        if source_of(source) != source_of(model):
            raise OutputError(
                f"version {child.name} in {servable} was exported from {source}, and this is {model}: give "
                f"--name for a servable of its own, or --name {servable.name} to publish it there anyway"
            )


def source_of(model: str) -> str:
    """What tells models apart: a directory's whole path, and any other name as it is."""
    path = Path(model).expanduser()
    return str(path.resolve()) if model and path.is_dir() else model


def _children(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


@contextmanager
def staged_version(servable: Path, version: int) -> Iterator[Path]:
    """Yields an empty directory to fill; publishes it as ``servable/version`` when the block ends well.

    On an error the staging directory is removed. What a killed export left behind is removed by the next
    one that is not running at the same time (its process is gone).
    """
    try:
        servable.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(servable)
        staging = servable / f"{_STAGING_PREFIX}{version}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        staging.mkdir()
    except OSError as error:
        raise OutputError(f"{servable} cannot be written: {error}") from error
    try:
        yield staging
        _sync(staging)
        _publish(staging, servable / str(version))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _remove_abandoned(servable: Path) -> None:
    """Removes what killed exports left; a version one of them had just moved aside comes back."""
    for child in sorted(servable.glob(f"{_STAGING_PREFIX}*")):
        version, pid = child.name.removeprefix(_STAGING_PREFIX).split("-")[:2]
        if _alive(int(pid)):
            continue
        if child.name.endswith(_REPLACED_SUFFIX) and not (servable / version).exists():
            child.rename(servable / version)
        else:
            shutil.rmtree(child, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(directory: Path) -> None:
    """Forces every file to disk before the rename makes them visible."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _publish(staging: Path, target: Path) -> None:
    """Renames ``staging`` to ``target``; a version that stands there is moved aside first."""
    old = staging.with_name(f"{staging.name}{_REPLACED_SUFFIX}")
    if target.exists():
        target.rename(old)
    staging.rename(target)
    shutil.rmtree(old, ignore_errors=True)
