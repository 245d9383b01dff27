"""The preview server and the logging of the process that it runs in."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.client.rest import RestClient
from exporter.preview import PreviewServer


def test_a_server_closes_no_handler_of_its_process(
    start: Callable[..., PreviewServer], toy_versions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """absl's handler closes its stream with itself, unless that is sys.stderr: under capsys it is not."""

    class Other(logging.Handler):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    other = Other()
    server = start(model_name="toy", model_base_path=toy_versions)
    RestClient(server.rest_url, "toy").predict("serving_default", {"text": ["a"]})
    assert not other.closed
    print("said", file=sys.stderr)
    assert "said" in capsys.readouterr().err
