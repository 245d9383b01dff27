"""API keys: who may ask, and how often.

A file with a line per key, ``NAME KEY [REQUESTS_PER_MINUTE]``; ``#`` begins a comment. KEY is the key itself,
or ``sha256:`` and the hexadecimal SHA-256 of it, so that the file holds no secret.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import OptionError
from exporter.gateway.errors import ApiError

_HASHED = "sha256:"


@dataclass(eq=False)
class Key:
    """A key's owner, and a bucket of requests: ``per_minute`` flow in, a tenth of that (or one) fits.

    Attributes:
      per_minute: None: no limit.
    """

    name: str
    digest: bytes
    per_minute: int | None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._level, self._seen = self._most, self.clock()

    @property
    def _most(self) -> float:
        return max(1.0, (self.per_minute or 0) / 10)

    def take(self) -> None:
        """Counts a request.

        Raises:
          ApiError: 429, with the seconds until the next one may come.
        """
        if self.per_minute is None:
            return
        now, rate = self.clock(), self.per_minute / 60
        self._level = min(self._most, self._level + (now - self._seen) * rate)
        self._seen = now
        if self._level < 1:
            seconds = math.ceil((1 - self._level) / rate)
            raise ApiError(
                429,
                f"Rate limit reached: {self.per_minute} requests a minute; try again in {seconds} s",
                code="rate_limit_exceeded",
                headers={"Retry-After": str(seconds)},
            )
        self._level -= 1


class Keys:
    """Every key that is admitted; none at all: everyone is."""

    def __init__(self, keys: list[Key]) -> None:
        self._keys = keys

    @classmethod
    def read(cls, path: Path | None) -> Keys:
        """Reads a key file.

        Raises:
          OptionError: it cannot be read, has no key, or a line of another form; keys are not shown.
        """
        if path is None:
            return cls([])
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"keys {path} cannot be read: {error}") from None
        found = [
            _key(words, f"keys {path}, line {number}")
            for number, line in enumerate(lines, 1)
            if (words := line.partition("#")[0].split())
        ]
        if not found:
            raise OptionError(f"keys {path}: has no key; a line is NAME KEY [REQUESTS_PER_MINUTE]")
        if len({key.digest for key in found}) < len(found):
            raise OptionError(f"keys {path}: a key stands there twice")
        return cls(found)

    def admit(self, authorization: str | None) -> str:
        """The owner's name, "" where no keys are asked for; counts the request.

        Raises:
          ApiError: 401 without a known key, 429 beyond the key's limit.
        """
        if not self._keys:
            return ""
        scheme, _, given = (authorization or "").partition(" ")
        digest = _digest(given.strip())
        # Every key is compared, in constant time: how long it takes tells nothing about any.
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        if scheme.lower() != "bearer" or not found:
            message = "Incorrect API key provided." if given else "You didn't provide an API key."
            raise ApiError(
                401,
                f"{message} Send it as: Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": 'Bearer realm="genserve"'},
            )
        found[0].take()
        return found[0].name


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _key(words: list[str], place: str) -> Key:
    if len(words) not in (2, 3):
        raise OptionError(f"{place}: must be NAME KEY [REQUESTS_PER_MINUTE]")
    name, key = words[:2]
    limit = words[2] if len(words) == 3 else None
    if limit is not None and not (limit.isdecimal() and int(limit) > 0):
        raise OptionError(f"{place}: {limit!r} must be a number of requests a minute, 1 or more")
    try:
        hashed = key.startswith(_HASHED)
        digest = bytes.fromhex(key.removeprefix(_HASHED)) if hashed else _digest(key)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise OptionError(f"{place}: after {_HASHED} 64 hexadecimal digits are needed")
    return Key(name, digest, None if limit is None else int(limit))
