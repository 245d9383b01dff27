"""The folders that a version is written in, and what becomes of those that nobody writes in anymore.

    NAME/.staging-OWNER/OWNER/        made first, so that at no moment a folder is without an owner's name
    NAME/.reserved-7/OWNER/           the same, renamed: number 7 is taken. A rename onto a folder that is not
                                      empty is refused by every file system: one of two exports gets it
    NAME/.reserved-7/replaced-7/      version 7 as it was, while --force puts the new one in its place
    NAME/7/                           OWNER, renamed: the version

Only folders whose owner is gone are removed. ``flock`` keeps exports of one machine apart while they look; a
file system without it, or another host, has the refused renames.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from exporter.publishing import numbers
from exporter.publishing.owners import Owner, own

_STAGING = ".staging-"
_REPLACED = "replaced-"


def begin(servable: Path) -> tuple[Owner, Path]:
    """A new ``.staging-OWNER`` with the owner's empty folder in it."""
    owner = own()
    folder = servable / f"{_STAGING}{owner.name}"
    (folder / owner.name).mkdir(parents=True)
    return owner, folder


def replaced(reservation: Path, version: Path) -> Path:
    """Where a version that is being replaced stands meanwhile."""
    return reservation / f"{_REPLACED}{version.name}"


def clean(servable: Path, now: float) -> None:
    """Removes what exports that are gone left; a version one of them had just moved aside comes back.

    Args:
      now: the file system's own time, which the folders' times are compared with.
    """
    for number, folder in numbers.reservations(servable).items():
        if _abandoned(folder, now):
            _restore(servable, number, folder)
            discard(servable, folder)
    for folder in servable.glob(f"{_STAGING}*"):
        owner = Owner.parse(folder.name.removeprefix(_STAGING))
        if owner is not None and owner.gone(now - _modified(folder)):
            _remove(folder)


def owner_of(reservation: Path) -> Owner | None:
    """Whose reservation it is; None for one whose version has been published."""
    owners = [Owner.parse(child.name) for child in _children(reservation)]
    return next((owner for owner in owners if owner is not None), None)


def discard(servable: Path, folder: Path) -> None:
    """Removes a child of ``servable`` so that it is whole up to one moment and gone from then on."""
    trash = servable / f"{_STAGING}{own().name}"
    with suppress(FileNotFoundError):
        folder.rename(trash)
        _remove(trash)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _abandoned(reservation: Path, now: float) -> bool:
    owner = owner_of(reservation)
    if owner is not None:
        return owner.gone(now - _modified(reservation))
    # Without its owner's folder the version has been published, and the rest was about to go.
    return all(child.name.startswith(_REPLACED) for child in _children(reservation))


def _restore(servable: Path, number: int, folder: Path) -> None:
    for child in _children(folder):
        if child.name.startswith(_REPLACED) and number not in numbers.version_folders(servable):
            child.rename(servable / child.name.removeprefix(_REPLACED))


def _children(directory: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return list(directory.iterdir())
    return []


def _modified(folder: Path) -> float:
    with suppress(FileNotFoundError):
        return folder.lstat().st_mtime
    return float("inf")
