"""Version numbers in a folder of versions: which are taken, which comes next."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from exporter.errors import OutputError

_LARGEST = (1 << 63) - 1  # TensorFlow Serving's versions are int64
_RESERVED = re.compile(r"\.reserved-(\d+)")


def version_folders(servable: Path) -> dict[int, Path]:
    """Number -> what stands under it, a folder or not: names that TensorFlow Serving reads as numbers."""
    found = {}
    for child in _children(servable):
        if child.name.isascii() and child.name.isdecimal() and 0 <= int(child.name) <= _LARGEST:
            found[int(child.name)] = child
    return dict(sorted(found.items()))


def reservations(servable: Path) -> dict[int, Path]:
    """Number -> the folder of the export that holds it (or held it, until a kill)."""
    matches = [(_RESERVED.fullmatch(child.name), child) for child in _children(servable)]
    return {int(match[1]): child for match, child in matches if match}


def reserved(servable: Path, number: int) -> Path:
    """The folder that reserves ``number``; no server looks at it, since its name is no number."""
    return servable / f".reserved-{number}"


def choose_version(servable: Path, version: int | None, *, force: bool) -> int:
    """The version that an export now would write: the given one, or the next free one (1 in an empty folder).

    Raises:
      OutputError: the version exists and ``force`` is not set, or ``servable`` can be no folder of versions.
    """
    check_folder(servable)
    existing = version_folders(servable)
    next_free = max((*existing, *reservations(servable)), default=0) + 1
    if version is None:
        return next_free
    if version in existing and not force:
        raise OutputError(
            f"version {version} exists in {servable}: give --force to replace it, or another --version "
            f"(next free: {next_free})"
        )
    return version


def check_folder(servable: Path) -> None:
    """Refuses a path that is, or lies below, something else than a folder."""
    for path in (servable, *servable.parents):
        try:
            # Looked at once: another export may make the folder between two looks.
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            if not path.is_symlink():
                continue
            raise OutputError(f"{servable} cannot be written: {path} is a link to nothing") from None
        except OSError as error:
            raise OutputError(f"{servable} cannot be written: {error}") from error
        if stat.S_ISDIR(mode):
            return
        raise OutputError(f"{servable} cannot be written: {path} is no folder")


def _children(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise OutputError(f"{directory} cannot be read: {error}") from error
