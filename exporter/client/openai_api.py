"""A client of OpenAI's completions: of a gateway, or of whoever else answers that API."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from exporter.client.address import Address, check_token, read_ca
from exporter.client.answers import Completion
from exporter.client.errors import RequestError
from exporter.client.flow import Deadline, Retry, run
from exporter.errors import OptionError


class OpenAiClient:
    """Completions of one model at ``http(s)://HOST[:PORT]``, with or without ``/v1``.

    Args:
      token: the API key.
      ca: PEM file of the authority of the server's certificate.

    Raises:
      OptionError: a URL, token or CA file that cannot be used.
      RequestError: from every call, with the server's words.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        token: str | None = None,
        ca: Path | None = None,
        timeout: float = 120.0,
        retries: int = 3,
    ) -> None:
        address = Address.parse(url)
        if address.kind != "rest":
            raise OptionError(f"openai {url!r}: must start with http:// or https://")
        self._url = url.rstrip("/").removesuffix("/v1") + "/v1/completions"
        self._model, self._timeout, self._retry = model, timeout, Retry(retries)
        pem = read_ca(ca, address)
        verify = True if pem is None else ssl.create_default_context(cadata=pem.decode("latin-1"))
        headers = {"Authorization": f"Bearer {key}"} if (key := check_token(token)) else {}
        self._http = httpx.Client(headers=headers, verify=verify, trust_env=False)

    def complete(self, prompt: str, options: Mapping[str, Any]) -> Completion:
        """The answer to a prompt; ``options`` are fields of the body. A refused prompt has an ``error``."""

        def flow() -> Any:
            return (yield {"model": self._model, "prompt": prompt, **options})

        try:
            answer = run(flow(), self._send, Deadline(self._timeout), self._retry)
        except RequestError as error:
            if error.code != "INVALID_ARGUMENT":
                raise
            return Completion(prompt, ("",), (0,), ("error",), error.message)
        choices = answer["choices"]
        usage = {"usage": answer["usage"]} if "usage" in answer else {}
        texts = tuple(choice["text"] for choice in choices)
        return Completion(prompt, texts, (), tuple(choice["finish_reason"] for choice in choices), "", usage)

    def _send(self, body: Any, seconds: float) -> Any:
        try:
            answer = self._http.post(self._url, json=body, timeout=seconds)
        except httpx.TimeoutException:
            raise RequestError("DEADLINE_EXCEEDED", f"no answer within {seconds:.3g} s") from None
        except httpx.HTTPError as error:
            raise RequestError("UNAVAILABLE", str(error)) from None
        try:
            document = answer.json()
            if answer.is_success:
                return {"choices": document["choices"], **document}
            message = document["error"]["message"]
        except (ValueError, LookupError, TypeError):
            message = f"an answer of another form: {answer.text[:200]!r}"
        if answer.is_success:
            raise RequestError("UNKNOWN", message)
        raise RequestError.from_http(answer.status_code, message)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
