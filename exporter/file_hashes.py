"""Sizes and SHA-256 of files, each read once, in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from exporter.manifest import MANIFEST_PATH, FileInfo

#: What ``genserve config`` writes anew into a version's directory, and the manifest, which holds the hashes.
REWRITTEN = frozenset({MANIFEST_PATH.as_posix(), "batching_params.pbtxt"})


def written_files(version_directory: Path) -> tuple[FileInfo, ...]:
    """Every file of a version but those that are written anew."""
    return file_infos(version_directory, sorted(set(names_of(version_directory)) - REWRITTEN))


def names_of(directory: Path) -> list[str]:
    """The paths of all files below a directory, with forward slashes."""
    return [path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()]


def file_infos(directory: Path, names: Iterable[str]) -> tuple[FileInfo, ...]:
    """Files by their paths below ``directory``."""
    return tuple(file_info(directory, name) for name in names)


def file_info(directory: Path, name: str) -> FileInfo:
    """Raises OSError where it cannot be read."""
    path = directory / name
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileInfo(path=name, bytes=file.tell(), sha256=digest)
