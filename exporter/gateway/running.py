"""Runs a gateway until SIGINT or SIGTERM, and drains it: what was let in is answered."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

from exporter.errors import ServingError
from exporter.gateway.app import Gateway
from exporter.gateway.logs import logger


class _Server(uvicorn.Server):
    """Between the signal and the closing of the port ``/health`` says so, for load balancers to see.

    A second signal ends the waiting.
    """

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        seconds = self._gateway.settings.drain_seconds
        if self._gateway.draining or not seconds:
            self._gateway.draining = True
            super().handle_exit(sig, frame)
            return
        self._gateway.draining = True
        logger.info("draining", extra={"fields": {"seconds": seconds}})
        asyncio.get_running_loop().call_later(seconds, super().handle_exit, signal.SIGTERM, None)


def config_of(gateway: Gateway, *, host: str, port: int) -> uvicorn.Config:
    """Requests that are inside get their whole time before the process ends."""
    return uvicorn.Config(
        gateway.application(),
        host=host,
        port=port,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(gateway.settings.timeout_seconds) + 1,
    )


@contextmanager
def beside(gateway: Gateway, *, host: str, port: int) -> Iterator[str]:
    """Serves in a thread of its own while something else runs here; its URL.

    Raises:
      ServingError: the port cannot be opened.
    """
    server = uvicorn.Server(config_of(gateway, host=host, port=port))
    thread = threading.Thread(target=_quietly, args=(server,), name="gateway", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise ServingError(f"port {host}:{port} cannot be opened")
        time.sleep(0.01)
    try:
        yield f"http://{host}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)


def _quietly(server: uvicorn.Server) -> None:
    with suppress(SystemExit):  # uvicorn's way to say that it cannot start
        server.run()


def run(gateway: Gateway, *, host: str, port: int) -> None:
    """Serves; returns once drained.

    Raises:
      ServingError: the port cannot be opened.
    """
    server = _Server(config_of(gateway, host=host, port=port), gateway)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them once more when it has ended
        signal.signal(number, lambda *_: None)
    logger.info("listening", extra={"fields": {"host": host, "port": port}})
    try:
        server.run()
    except SystemExit:
        raise ServingError(f"port {host}:{port} cannot be opened, or the start failed") from None
