"""Calls go over all addresses of a name, as a headless Service has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from exporter.client import messages
from exporter.client.grpc import Connection, Exchange


class _Counting(grpc.GenericRpcHandler):
    """Answers every call with an empty message."""

    def __init__(self, seen: Counter[str], name: str) -> None:
        self._seen, self._name = seen, name

    def service(self, _: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        self._seen[self._name] += 1
        return b""


def server(seen: Counter[str], address: str) -> tuple[int, Callable[[], Any]]:
    """Its port, and what stops it."""
    found = grpc.server(futures.ThreadPoolExecutor(2), [_Counting(seen, address)])
    port = found.add_insecure_port(f"{address}:0")
    found.start()
    return port, lambda: found.stop(None).wait()


def test_every_address_gets_calls() -> None:
    seen: Counter[str] = Counter()
    servers = [server(seen, address) for address in ("127.0.0.1", "127.0.0.2")]
    target = "ipv4:" + ",".join(
        f"{address}:{port}" for address, (port, _) in zip(("127.0.0.1", "127.0.0.2"), servers, strict=True)
    )
    connection = Connection(target, None, None)
    try:
        # The second address is used from when its connection stands.
        for _ in range(1000):
            connection.send(Exchange("GetModelStatus", messages.new("GetModelStatusRequest")), 30)
            if len(seen) == 2:
                break
        assert set(seen) == {"127.0.0.1", "127.0.0.2"}
        before = seen.copy()
        for _ in range(20):
            connection.send(Exchange("GetModelStatus", messages.new("GetModelStatusRequest")), 30)
        assert {address: seen[address] - before[address] for address in seen} == dict.fromkeys(seen, 10)
    finally:
        connection.close()
        for _, stop in servers:
            stop()
