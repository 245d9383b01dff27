"""The preview server and its toy models, for the files that are tested against a running server."""

from tests.preview.conftest import server, start, toy_versions

__all__ = ["server", "start", "toy_versions"]
