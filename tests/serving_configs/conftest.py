"""The preview server and its toy models, for the files that are tested against a running server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter.preview.server import PreviewServer
from tests.preview.conftest import server, start, toy_versions
from tests.serving_configs.front import OPTIONS, Front

__all__ = ["server", "start", "toy_versions"]


@pytest.fixture(scope="module")
def guarded(server: PreviewServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A front that limits no rate, before the shared server."""
    front = Front(tmp_path_factory.mktemp("front"), server, OPTIONS)
    yield front
    front.stop()
