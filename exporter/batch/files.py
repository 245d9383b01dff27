"""Files where Beam finds them: local ones, and those of the schemes that its installation knows."""

from __future__ import annotations

import glob
import uuid
from pathlib import Path
from typing import Any

from exporter.durable import write_bytes
from exporter.errors import OptionError, OutputError


def _systems() -> Any:
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


def _is_local(path: str) -> bool:
    return "://" not in path


def matching(pattern: str) -> list[str]:
    """The paths of every file that matches.

    Raises:
      OptionError: none does, or the place cannot be read.
    """
    # A file of exactly this name, whatever characters it has.
    found = [pattern] if Path(pattern).is_file() else _matching(pattern)
    if not found:
        raise OptionError(f"input {pattern!r}: there is no such file")
    return found


def inside(folder: str, pattern: str = "*") -> list[str]:
    """The files of a folder whose names match."""
    return _matching(join(glob.escape(folder), pattern))


def _matching(pattern: str) -> list[str]:
    from apache_beam.io.filesystem import BeamIOError

    try:
        (match,) = _systems().match([pattern])
    except (BeamIOError, ValueError, OSError) as error:
        raise OptionError(f"{pattern!r} cannot be read: {error}") from error
    return [found.path for found in match.metadata_list]


def open_to_read(path: str) -> Any:
    """A binary file that can seek, never decompressed."""
    from apache_beam.io.filesystem import BeamIOError, CompressionTypes

    try:
        return _systems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    except (BeamIOError, ValueError, OSError) as error:
        raise OptionError(f"{path!r} cannot be read: {error}") from error


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return bool(_systems().exists(path))


def join(folder: str, *names: str) -> str:
    """A path below a folder, whatever its scheme."""
    return str(_systems().join(folder, *names))


def make_folder(path: str) -> None:
    """Makes a folder; one that is there is left as it is. Object stores have none."""
    from apache_beam.io.filesystem import BeamIOError

    try:
        if not exists(path):
            _systems().mkdirs(path)
    except (BeamIOError, ValueError, OSError) as error:
        raise OutputError(f"{path} cannot be written: {error}") from error


def replace(path: str, content: bytes) -> None:
    """Writes a file aside and renames it: nobody sees half of it.

    Raises:
      OutputError: it cannot be written.
    """
    from apache_beam.io.filesystem import BeamIOError, CompressionTypes

    try:
        if _is_local(path):
            write_bytes(Path(path), content)
            return
        aside = f"{path}.{uuid.uuid4().hex[:8]}"
        with _systems().create(aside, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(content)
        _rename_over(aside, path)
    except (BeamIOError, ValueError, OSError) as error:
        raise OutputError(f"{path} cannot be written: {error}") from error


def _rename_over(aside: str, path: str) -> None:
    """Local systems and object stores put the one in the other's place; HDFS refuses a name that is taken.

    There a kill may leave the new content aside and none at ``path``.
    """
    from apache_beam.io.filesystem import BeamIOError

    try:
        _systems().rename([aside], [path])
    except BeamIOError:
        if not (exists(aside) and exists(path)):
            raise
        _systems().delete([path])
        _systems().rename([aside], [path])


def remove(paths: list[str]) -> None:
    """Deletes files.

    Raises:
      OutputError: one cannot be deleted.
    """
    from apache_beam.io.filesystem import BeamIOError

    try:
        for path in filter(_is_local, paths):
            Path(path).unlink(missing_ok=True)  # Beam would read its name as a pattern
        if far := [path for path in paths if not _is_local(path)]:
            _systems().delete(far)
    except (BeamIOError, OSError) as error:
        raise OutputError(f"what is there cannot be deleted: {error}") from error
