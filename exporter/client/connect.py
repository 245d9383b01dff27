"""From a URL to a dialect and a connection; loads only the library of that protocol."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from exporter.client.address import Address, Model, check_token, read_ca
from exporter.client.flow import Dialect


class Server:
    """A server's address, the model, and what the server asks for.

    Raises:
      OptionError: a URL, token or CA file that cannot be used.
    """

    def __init__(self, url: str, model: Model, token: str | None, ca: Path | str | None) -> None:
        self._address = Address.parse(url)
        self._model = model
        self._token = check_token(token)
        self._ca = read_ca(ca, self._address)

    def dialect(self) -> Dialect:
        if self._address.kind == "rest":
            from exporter.client.rest import RestDialect

            return RestDialect(self._address.target, self._model)
        from exporter.client.grpc import GrpcDialect

        return GrpcDialect(self._model)

    def connection(self, *, asynchronous: bool = False) -> Any:
        """A connection of ``rest`` or ``grpc``; for asyncio, to be made inside the running loop."""
        if self._address.kind == "rest":
            from exporter.client import rest

            http = rest.AsyncConnection if asynchronous else rest.Connection
            return http(self._token, self._verify())
        from exporter.client import grpc

        channel = grpc.AsyncConnection if asynchronous else grpc.Connection
        return channel(self._address.target, self._token, self._credentials())

    def _verify(self) -> Any:
        return True if self._ca is None else ssl.create_default_context(cadata=self._ca.decode("latin-1"))

    def _credentials(self) -> Any:
        import grpc

        return grpc.ssl_channel_credentials(self._ca) if self._address.secure else None
