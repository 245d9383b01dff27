"""Downloads that go on where they stopped and leave nothing half under its final name."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx

from test_data.table import Entry, FetchError

#: Further tries of a transfer that breaks off.
RETRIES = 3
TIMEOUT = httpx.Timeout(30.0, connect=10.0)

Advance = Callable[[int], None]


class UnreachableError(FetchError):
    """A server that gives no answer; the others may."""

    def __init__(self, url: str, error: BaseException) -> None:
        self.host = host_of(url)
        super().__init__(f"{self.host} cannot be reached ({type(error).__name__}: {error})")


def host_of(url: str) -> str:
    """The scheme, host and port."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def client() -> httpx.Client:
    """A client that asks for files as they are: a compressed transfer cannot go on in the middle."""
    return httpx.Client(follow_redirects=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"})


def download(
    http: httpx.Client, url: str, entry: Entry, partial: Path, headers: dict[str, str], advance: Advance
) -> None:
    """Fetches an entry's content to ``partial``, going on behind what lies there.

    Args:
      advance: called with the number of new bytes, negative where the server starts anew.

    Raises:
      UnreachableError: no answer, or the transfer broke off too often; ``partial`` keeps what came.
      FetchError: the server refuses, or what it sends is not the entry; ``partial`` is gone.
    """
    goes_on = partial.exists()
    for left in reversed(range(RETRIES + 1)):
        try:
            _transfer(http, url, partial, entry.size, headers, advance)
            break
        except httpx.TransportError as error:
            if not left or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                raise UnreachableError(url, error) from error
            time.sleep(0.2)
        except httpx.HTTPError as error:  # too many redirects, an undecodable body
            raise FetchError(f"{url}: {error}") from error
    have = partial.stat().st_size
    try:
        entry.check(partial)
    except FetchError:
        advance(-have)
        if not goes_on:
            raise
        download(http, url, entry, partial, headers, advance)  # the beginning was of another file


def _transfer(
    http: httpx.Client, url: str, partial: Path, size: int, headers: dict[str, str], advance: Advance
) -> None:
    """One transfer, of at most ``size + 1`` bytes: more is wrong however it goes on."""
    have = partial.stat().st_size if partial.exists() else 0
    if have >= size:  # whole, or of another file: the check will tell
        return
    ranged = {**headers, "Range": f"bytes={have}-"} if have else headers
    with http.stream("GET", url, headers=ranged) as reply:
        if reply.status_code == 416:  # it is shorter than what is here: the check will tell
            return
        if reply.is_error:
            raise FetchError(f"{url}: the server answers {reply.status_code} {reply.reason_phrase}")
        goes_on = reply.status_code == 206
        if not goes_on:
            advance(-have)
            have = 0
        with partial.open("ab" if goes_on else "wb") as file:
            for chunk in reply.iter_bytes():
                file.write(chunk)
                have += len(chunk)
                advance(len(chunk))
                if have > size:
                    break


def get(http: httpx.Client, url: str) -> bytes:
    """A small file.

    Raises:
      UnreachableError, FetchError: as in :func:`download`.
    """
    try:
        reply = http.get(url)
    except httpx.TransportError as error:
        raise UnreachableError(url, error) from error
    except httpx.HTTPError as error:
        raise FetchError(f"{url}: {error}") from error
    if reply.is_error:
        raise FetchError(f"{url}: the server answers {reply.status_code} {reply.reason_phrase}")
    return reply.content


def put(content: bytes, path: Path) -> None:
    """Writes a file that appears whole or not at all."""
    aside = path.with_name(f"{path.name}.tmp")
    aside.write_bytes(content)
    aside.replace(path)
