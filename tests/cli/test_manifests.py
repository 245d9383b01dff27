"""Manifests by directory, file and address."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.cli.manifests import read_manifest
from exporter.errors import OptionError
from exporter.manifest import MANIFEST_PATH
from tests.client.conftest import stub
from tests.client.stubs import HttpStub
from tests.serving_configs.manifests import manifest

__all__ = ["stub"]


def test_from_everywhere_the_same(stub: HttpStub, tmp_path: Path) -> None:
    manifest().write(tmp_path)
    file = tmp_path / MANIFEST_PATH
    stub.answer = (200, file.read_bytes())
    for place in (str(tmp_path), str(file), f"{stub.url}/genserve.json"):
        assert read_manifest(place) == manifest()


def test_what_is_none_is_named(stub: HttpStub, tmp_path: Path) -> None:
    address = f"{stub.url}/genserve.json"
    stub.answer = (200, b"{}")
    for place in (str(tmp_path), address):
        with pytest.raises(OptionError, match=f"^{place} is not a version that genserve exported: "):
            read_manifest(place)
    stub.answer = (404, b"")
    with pytest.raises(OptionError, match=f"^{address} cannot be read: .*404"):
        read_manifest(address)
    with pytest.raises(OptionError, match="begins with http:// or https://"):
        read_manifest("ftp://x/genserve.json")
