"""What clients of OpenAI's API share, blocking or not: the address, and reading refusals and events."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import httpx

from exporter.client.address import Address, check_token, read_ca
from exporter.client.errors import RequestError
from exporter.errors import OptionError


def opened(url: str, token: str | None, ca: Path | None) -> tuple[str, dict[str, Any]]:
    """The API's own URL, and settings for httpx's clients.

    Raises:
      OptionError: a URL, token or CA file that cannot be used.
    """
    address = Address.parse(url)
    if address.kind != "rest":
        raise OptionError(f"openai {url!r}: must start with http:// or https://")
    pem = read_ca(ca, address)
    verify = True if pem is None else ssl.create_default_context(cadata=pem.decode("latin-1"))
    headers = {"Content-Type": "application/json"}
    if key := check_token(token):
        headers["Authorization"] = f"Bearer {key}"
    settings = {"headers": headers, "verify": verify, "trust_env": False}
    return url.rstrip("/").removesuffix("/v1") + "/v1", settings


def refusal(answer: httpx.Response) -> RequestError:
    """Of an answer that was read and is no success."""
    try:
        message = said(answer.json())
    except ValueError:
        message = of_another_form(answer.text)
    return RequestError.from_http(answer.status_code, message)


def said(document: Any) -> str:
    """The message of an error's body."""
    try:
        return str(document["error"]["message"])
    except (LookupError, TypeError):
        return of_another_form(json.dumps(document, ensure_ascii=False))


def event_of(line: str) -> dict[str, Any] | None:
    """A line of server-sent events: what it holds; None of ``[DONE]``, an empty object of any other line.

    Raises:
      RequestError: the server's error, or data of another form.
    """
    name, _, value = line.partition(":")
    if value.strip() == "[DONE]":
        return None
    if name != "data":
        return {}
    event = _object(value)
    if "error" in event:
        raise RequestError("UNAVAILABLE", f"the answer broke off: {said(event)}")
    return event


def document_of(answer: httpx.Response) -> dict[str, Any]:
    """An answer that came whole, with its ``choices``.

    Raises:
      RequestError: a refusal, or an answer of another form.
    """
    if not answer.is_success:
        raise refusal(answer)
    try:
        document = answer.json()
        return {"choices": document["choices"], **document}
    except (ValueError, LookupError, TypeError):
        raise RequestError("UNKNOWN", of_another_form(answer.text)) from None


def of_another_form(text: str) -> str:
    return f"an answer of another form: {text[:200]!r}"


def _object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RequestError("UNKNOWN", of_another_form(text))
    return document
