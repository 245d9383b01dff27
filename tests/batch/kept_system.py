"""A file system of Beam's kind with the scheme ``kept``, over this machine's folders: kept:///FOLDER/FILE."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

_PREFIX = "kept://"


class KilledError(BaseException):
    """What a kill is to whoever is killed: nothing of it is caught."""


class KeptSystem(LocalFileSystem):
    """Counts changes.

    Attributes:
      refuses: whether a rename to a name that is taken fails, as HDFS's does; object stores replace.
      changes_left: how many go through before a kill.
    """

    refuses: ClassVar[bool] = False
    changes_left: ClassVar[float] = math.inf

    @classmethod
    def scheme(cls) -> str:
        return "kept"

    def _change(self) -> None:
        if KeptSystem.changes_left <= 0:
            raise KilledError
        KeptSystem.changes_left -= 1

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for found in super()._list(_local(dir_or_prefix)):
            yield FileMetadata(_PREFIX + found.path, found.size_in_bytes)

    def _path_open(self, path: str, *rest: Any) -> Any:
        return super()._path_open(_local(path), *rest)

    def mkdirs(self, path: str) -> None:
        self._change()
        super().mkdirs(_local(path))

    def create(self, path: str, *rest: Any, **more: Any) -> Any:
        self._change()
        return super().create(_local(path), *rest, **more)

    def exists(self, path: str) -> bool:
        return bool(super().exists(_local(path)))

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, Path(_local(path)).stat().st_size)

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            self._change()
            Path(_local(path)).unlink()

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self._change()
        for path in filter(self.exists, destination_file_names if self.refuses else ()):
            raise BeamIOError(f"{path} is there")
        super().rename([*map(_local, source_file_names)], [*map(_local, destination_file_names)])


def _local(path: str) -> str:
    return path.removeprefix(_PREFIX)
