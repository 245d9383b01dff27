"""Waiting for what a running server does by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# Seconds between a server's looks at its files.
POLL = 0.1


def eventually(check: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def states(client: Any) -> dict[int, str]:
    return {item["version"]: item["state"] for item in client.status()}
