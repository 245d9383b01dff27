"""Manifests that verbs are told of: in a version's directory, as a file, at an address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import OptionError

if TYPE_CHECKING:
    from exporter.manifest import Manifest


def version_manifest(version: Path) -> Manifest:
    """The manifest of an exported version's directory; raises OptionError where there is none."""
    return _read(str(version), version)


def read_manifest(place: str) -> Manifest:
    """The manifest of a version: a directory, the file itself, or its http(s) address.

    Raises:
      OptionError: there is none, or it cannot be read.
    """
    from exporter.manifest import MANIFEST_PATH

    if "://" in place:
        return _fetched(place)
    path = Path(place)
    above = len(Path(MANIFEST_PATH).parts) - 1
    return _read(place, path.parents[above] if path.suffix == ".json" else path)


def _read(place: str, directory: Path) -> Manifest:
    """Of a directory; ``place`` is what an error calls it."""
    from pydantic import ValidationError

    from exporter.manifest import Manifest

    try:
        return Manifest.read(directory)
    except (ValidationError, OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{place} is not a version that genserve exported: {error}") from None


def _fetched(url: str) -> Manifest:
    import tempfile

    import httpx

    from exporter.manifest import MANIFEST_PATH

    if not url.startswith(("http://", "https://")):
        raise OptionError(f"{url}: the address of a manifest begins with http:// or https://")
    try:
        answer = httpx.get(url, follow_redirects=True, timeout=30.0).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OptionError(f"{url} cannot be read: {error}") from error
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / MANIFEST_PATH
        path.parent.mkdir(parents=True)
        path.write_bytes(answer.content)
        return _read(url, Path(directory))
