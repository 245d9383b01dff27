"""A client of OpenAI's completions and chats: of a gateway, or of whoever else answers that API."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from exporter.client.answers import Completion
from exporter.client.closing import Closing
from exporter.client.errors import RequestError
from exporter.client.flow import Deadline, Retry, run
from exporter.client.json_body import json_body
from exporter.client.openai_answers import document_of, event_of, of_another_form, opened, refusal


class OpenAiClient(Closing):
    """Completions and chats of one model at ``http(s)://HOST[:PORT]``, with or without ``/v1``.

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
        self._url, settings = opened(url, token, ca)
        self._model, self._timeout, self._retry = model, timeout, Retry(retries)
        self._http = httpx.Client(**settings)

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

    def chat(
        self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """The next message of a chat as it comes: the ``delta`` of each event's first choice.

        ``options`` are further fields of the body. A request is repeated until its first event; ``timeout``
        is what each event may take.
        """
        body = {"model": self._model, "messages": list(messages), **options, "stream": True}
        for attempt in itertools.count():
            began = False
            try:
                for delta in self._deltas(body):
                    began = True
                    yield delta
                return
            except RequestError as error:
                if began:
                    raise
                time.sleep(self._retry.pause(attempt, error, Deadline(self._timeout)))

    def _deltas(self, body: Any) -> Iterator[dict[str, Any]]:
        ended = False
        for event in self._events(body):
            try:
                for choice in event["choices"][:1]:
                    yield dict(choice["delta"])
                    ended |= bool(choice.get("finish_reason"))
            except (LookupError, TypeError, ValueError):
                raise RequestError("UNKNOWN", of_another_form(json.dumps(event))) from None
        if not ended:
            raise RequestError("UNAVAILABLE", "the answer broke off")

    def _events(self, body: Any) -> Iterator[dict[str, Any]]:
        """The server-sent events of an answer, up to ``[DONE]``."""
        try:
            with self._http.stream(
                "POST", f"{self._url}/chat/completions", content=json_body(body), timeout=self._timeout
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise refusal(answer)
                for line in answer.iter_lines():
                    event = event_of(line)
                    if event is None:
                        return
                    if event:
                        yield event
        except httpx.TimeoutException:
            raise RequestError("DEADLINE_EXCEEDED", f"nothing came within {self._timeout:.3g} s") from None
        except httpx.HTTPError as error:
            raise RequestError("UNAVAILABLE", str(error)) from None

    def _send(self, body: Any, seconds: float) -> Any:
        try:
            answer = self._http.post(f"{self._url}/completions", content=json_body(body), timeout=seconds)
        except httpx.TimeoutException:
            raise RequestError("DEADLINE_EXCEEDED", f"no answer within {seconds:.3g} s") from None
        except httpx.HTTPError as error:
            raise RequestError("UNAVAILABLE", str(error)) from None
        return document_of(answer)

    def close(self) -> None:
        self._http.close()
