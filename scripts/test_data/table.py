"""The table of published files: what each is, and where it is published."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).with_name("table.yaml")


class FetchError(Exception):
    """What keeps a file from being fetched, in one sentence."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face hub.

    Attributes:
      revision: a commit or tag that is known to hold it; None: no such commit is known.
      blob: its git object id.
    """

    repo: str
    revision: str | None
    path: str
    blob: str


@dataclass(frozen=True)
class Url:
    """A file that any web server publishes."""

    url: str


@dataclass(frozen=True)
class Texts:
    """A text put together from several files (:mod:`test_data.texts`).

    Attributes:
      url: of a part, with ``{name}`` in it.
    """

    url: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
      folder: the name that ``--only`` takes.
      target: where it lies in the folder of test data.
      also: sha256 of other copies that serve as well.
    """

    folder: str
    target: str
    size: int
    sha256: str
    also: tuple[str, ...]
    source: HubFile | Url | Texts

    def is_at(self, path: Path) -> bool:
        """Whether this file lies there."""
        return path.is_file() and sha256_of(path) in (self.sha256, *self.also)

    def check(self, path: Path) -> None:
        """Removes what was fetched there if it is another file.

        Raises:
          FetchError: it was.
        """
        size, found = path.stat().st_size, sha256_of(path)
        if found != self.sha256:
            path.unlink()
            seen = f"more than {self.size} bytes" if size > self.size else f"{found} ({size} bytes)"
            raise FetchError(
                f"{self.target} is not the published file: sha256 {self.sha256} ({self.size} bytes) "
                f"expected, {seen} found; it was not kept"
            )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_table(path: Path = TABLE) -> list[Entry]:
    """Every entry, in the table's order.

    Raises:
      FetchError: the table cannot be read, or an entry is incomplete.
    """
    try:
        return list(_entries(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise FetchError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise FetchError(f"{path} is no table of test data: {error!r}") from error


def _entries(table: dict[str, Any]) -> Iterator[Entry]:
    for folder, described in table["tokenizers"].items():
        inherited = {key: described.get(key) for key in ("repo", "revision")}
        for name, fields in described["files"].items():
            yield _entry(folder, f"tokenizers/{folder}/{name}", {"path": name, **inherited, **fields})
    for name, fields in table["corpora"].items():
        yield _entry("corpora", f"corpora/{name}", fields)


def _entry(folder: str, target: str, fields: dict[str, Any]) -> Entry:
    hashes = [fields["sha256"], *fields.get("also", ())]
    if not all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes):
        raise ValueError(f"{target}: sha256 must be 64 hexadecimal digits, not {hashes}")
    return Entry(folder, target, int(fields["size"]), hashes[0], tuple(hashes[1:]), _source(fields))


def _source(fields: dict[str, Any]) -> HubFile | Url | Texts:
    if "parts" in fields:
        return Texts(fields["parts"]["url"], tuple(fields["parts"]["names"]))
    if "url" in fields:
        return Url(fields["url"])
    return HubFile(fields["repo"], fields["revision"], fields["path"], fields["blob"])
