"""Where a server is, and what a caller shows at its door."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from exporter.errors import OptionError

_SCHEMES = {"http": False, "https": True, "grpc": False, "grpcs": True}
TOKEN_VARIABLE = "GENSERVE_TOKEN"


@dataclass(frozen=True)
class Model:
    """Which version of which model answers; without version and label the newest."""

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise ValueError("give a version or a label, not both")

    @property
    def path(self) -> str:
        """Of the REST API."""
        path = f"/v1/models/{quote(self.name, safe='')}"
        if self.version is not None:
            path += f"/versions/{self.version}"
        return path + (f"/labels/{quote(self.label, safe='')}" if self.label is not None else "")

    def fill(self, spec: Any) -> None:
        """Writes a gRPC ``ModelSpec``."""
        spec.name = self.name
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label


@dataclass(frozen=True)
class Address:
    """A server: ``kind`` "rest" or "grpc", and its URL (REST) or HOST:PORT (gRPC)."""

    kind: str
    secure: bool
    target: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Reads ``http(s)://HOST[:PORT][/PATH]`` or ``grpc(s)://HOST:PORT``.

        Raises:
          OptionError: another scheme, no host, or a gRPC address without a port.
        """
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in _SCHEMES:
            allowed = ", ".join(f"{known}://" for known in _SCHEMES)
            raise OptionError(f"url {url!r}: must start with one of {allowed}")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise OptionError(f"url {url!r}: {error}") from None
        if not host or "@" in parts.netloc:
            raise OptionError(f"url {url!r}: must name a host, without user and password")
        if scheme.startswith("http"):
            return cls("rest", _SCHEMES[scheme], url)
        if port is None or parts.path not in ("", "/") or parts.query:
            raise OptionError(f"url {url!r}: a gRPC address is {scheme}://HOST:PORT")
        return cls("grpc", _SCHEMES[scheme], rest.rstrip("/"))


def check_token(token: str | None) -> str | None:
    """The bearer token.

    Raises:
      OptionError: characters that no header carries; the token itself is not shown.
    """
    if token is not None and (not token or not all("!" <= char <= "~" for char in token)):
        raise OptionError("token: must be visible ASCII characters, at least one, without spaces")
    return token


def read_token(token: str | None, file: Path | None) -> str | None:
    """A token given outright, in a file (white space around it does not count), or in GENSERVE_TOKEN."""
    if token is not None and file is not None:
        raise OptionError("give --token or --token-file, not both")
    if file is None:
        return token if token is not None else os.environ.get(TOKEN_VARIABLE) or None
    return _read(file, "token file").decode("utf-8", "replace").strip()


def read_ca(ca: Path | str | None, address: Address) -> bytes | None:
    """The certificates (PEM) that a TLS server's own must go back to; None: those of the system.

    Raises:
      OptionError: the file cannot be read or is no PEM, or the address has no TLS.
    """
    if ca is None:
        return None
    if not address.secure:
        raise OptionError(f"ca {ca}: only https:// and grpcs:// use certificates")
    content = _read(Path(ca), "ca")
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise OptionError(f"ca {ca}: has no certificate in PEM form")
    return content


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OptionError(f"{what} {path} cannot be read: {error.strerror}") from None
