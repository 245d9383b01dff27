"""Fixed sets that a room defines by what it holds are those that the command line offers."""

from __future__ import annotations

from typing import get_args

from exporter.choices import ServingVersion
from serving_configs import RELEASES


def test_serving_versions() -> None:
    assert get_args(ServingVersion) == tuple(RELEASES)
