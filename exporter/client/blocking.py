"""The blocking client; ``aio`` holds the same for asyncio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from exporter.client import row_calls, token_calls
from exporter.client.address import Model
from exporter.client.answers import (
    Completion,
    Decoding,
    Encoding,
    NextTokens,
    Score,
    SignatureInfo,
    TokenCompletion,
    VersionStatus,
)
from exporter.client.closing import Closing
from exporter.client.connect import Server
from exporter.client.errors import RequestError
from exporter.client.flow import Deadline, Flow, Retry, run
from exporter.client.row_calls import Call

T = TypeVar("T")


class Client(Closing):
    """Talks to a model behind TensorFlow Serving, over REST or gRPC. Blocks; threads may share it.

        with Client("http://localhost:8501", model="stories") as client:
            answer, = client.generate(["Once upon a time"])
            print(answer.text, answer.finish_reasons)

    Args:
      url: ``http://HOST:8501``, ``https://HOST[:PORT][/PATH]``, ``grpc://HOST:8500`` or ``grpcs://HOST:PORT``.
      model: the servable's name.
      version: the number of the version that answers; None: the newest.
      label: the label of the version that answers; not together with ``version``.
      token: sent as a bearer token, for a front that asks for one. Use it with TLS.
      ca: a PEM file with the authority that signed the server's certificate; None: those the system trusts.
      timeout: seconds until a call fails with DEADLINE_EXCEEDED, repetitions included; each call may set its
        own.
      retries: how often a request is repeated that failed as UNAVAILABLE (connection refused, HTTP 502 and
        503, a full queue), after random pauses that grow to 5 s, as far as the call's timeout allows.
      max_batch_size: the most rows in one request, for servers whose batching has a largest batch
        (``buckets.batch_sizes`` of the manifest): calls with more rows become several requests, and
        ``predict`` refuses them. None: no limit.

    Raises:
      OptionError: from the constructor, for a URL, token or CA file that cannot be used; from calls, for what
        no server could answer, such as an empty batch.
      RequestError: from every call, with the server's ``code``, ``message`` and (REST) ``http_status``.
      ServingError: an answer that is not of the kind that the call is for. Base of RequestError.

    A row that the model refuses (too long, not UTF-8) raises nothing: its answer has an ``error``.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        token: str | None = None,
        ca: Path | str | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        max_batch_size: int | None = None,
    ) -> None:
        server = Server(url, Model(model, version, label), token, ca)
        self._dialect, self._connection = server.dialect(), server.connection()
        row_calls.check_settings(retries, max_batch_size)
        self._timeout, self._retry, self._limit = timeout, Retry(retries), max_batch_size
        self._signatures: dict[str, SignatureInfo] | None = None

    def generate(
        self,
        prompts: Sequence[str],
        *,
        signature: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> list[Completion]:
        """Completes ``prompts`` ([batch]); one Completion each, in their order. None sends nothing.

        Args:
          signature: one that generates text: "serving_default" (the default without options), "generate" (the
            default with options), or a preset's name.
          timeout: seconds for this call, all its requests together.
          options: further inputs of the signature, e.g. ``max_new_tokens=64, temperature=0.7, seed=1``: one
            value for all prompts, or a list with one each. Inputs that are not given get the value that
            switches them off; ``max_new_tokens`` has none.
        """
        deadline = self._deadline(timeout)
        name, columns = row_calls.generate(prompts, signature, options)
        info = self._signature(name, deadline) if options else None
        return self._rows(row_calls.generate_call(name, columns, info), deadline)

    def score(
        self, prompts: Sequence[str], continuations: Sequence[str], *, timeout: float | None = None
    ) -> list[Score]:
        """How probable each continuation is after its prompt (both [batch]), by the signature ``score``."""
        return self._rows(row_calls.score(prompts, continuations), self._deadline(timeout))

    def encode(self, texts: Sequence[str], *, timeout: float | None = None) -> list[Encoding]:
        """The token ids of ``texts`` ([batch]), special tokens included as for a prompt."""
        return self._rows(row_calls.encode(texts), self._deadline(timeout))

    def decode(self, ids: Sequence[Sequence[int]], *, timeout: float | None = None) -> list[Decoding]:
        """The texts of rows of token ids; rows may differ in length."""
        deadline = self._deadline(timeout)
        return self._rows(row_calls.decode(ids, self._signature("decode", deadline)), deadline)

    def encode_segments(
        self, segments: Sequence[Sequence[str]], *, timeout: float | None = None
    ) -> list[Encoding]:
        """The token ids of prompts in segments (``ChatTemplate.segments``), by ``encode_segments``.

        Special tokens are tokens in literals (even places); texts (odd places) never make one.
        """
        deadline = self._deadline(timeout)
        info = self._signature("encode_segments", deadline)
        return self._rows(token_calls.encode_segments(segments, info), deadline)

    def generate_tokens(
        self, ids: Sequence[Sequence[int]], *, timeout: float | None = None, **options: Any
    ) -> list[TokenCompletion]:
        """Goes on from rows of token ids, by the signature ``generate_tokens``.

        Args:
          options: as for ``generate``; of those that take a list for each row (``stop_token_ids``), one list
            for all rows, filled up.
        """
        deadline = self._deadline(timeout)
        info = self._signature("generate_tokens", deadline)
        return self._rows(token_calls.generate_tokens(ids, options, info), deadline)

    def resume(
        self,
        ids: Sequence[Sequence[int]],
        generated: Sequence[Sequence[int]],
        *,
        piece_tokens: int,
        timeout: float | None = None,
        **options: Any,
    ) -> list[TokenCompletion]:
        """The next piece of each answer, by the signature ``resume``.

        Args:
          ids: the prompts.
          generated: the ids of each answer so far; pieces join to what one call answers.
          piece_tokens: the most tokens that are added.
          options: as for ``generate_tokens``; ``max_new_tokens`` and ``seed`` are of the whole answer, and a
            seed that is not -1 must stay the same.
        """
        deadline = self._deadline(timeout)
        info = self._signature("resume", deadline)
        return self._rows(token_calls.resume(ids, generated, piece_tokens, options, info), deadline)

    def next_token(self, prompts: Sequence[str], *, timeout: float | None = None) -> list[NextTokens]:
        """The most probable next tokens of each prompt, by the signature ``next_token``."""
        return self._rows(row_calls.next_token(prompts), self._deadline(timeout))

    def predict(
        self, signature: str, inputs: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, np.ndarray]:
        """Runs any signature as one request.

        Args:
          inputs: name -> array or nested lists, rows in dimension 0; bytes and texts for string inputs.

        Returns:
          Output name -> array. Strings are ``bytes`` objects; over REST numbers are int64 or float64.
        """
        return self._predict(signature, inputs, self._deadline(timeout))

    def metadata(self, *, timeout: float | None = None) -> dict[str, SignatureInfo]:
        """The signatures with their inputs' and outputs' dtypes and shapes."""
        return self._run(self._dialect.metadata(), self._deadline(timeout))

    def status(self, *, timeout: float | None = None) -> list[VersionStatus]:
        """The versions that the server has or had, newest first, with their states."""
        return self._run(self._dialect.status(), self._deadline(timeout))

    def close(self) -> None:
        self._connection.close()

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else timeout)

    def _run(self, flow: Flow[T], deadline: Deadline) -> T:
        return run(flow, self._connection.send, deadline, self._retry)

    def _signature(self, name: str, deadline: Deadline) -> SignatureInfo:
        signatures = self._signatures  # other threads may drop them
        if signatures is None:
            signatures = self._signatures = self._run(self._dialect.metadata(), deadline)
        return row_calls.find(signatures, name)

    def _predict(
        self, signature: str, inputs: Mapping[str, Any], deadline: Deadline
    ) -> dict[str, np.ndarray]:
        row_calls.check_rows(inputs, row_calls.limit(self._limit, self._signatures, signature))
        try:
            return self._run(self._dialect.predict(signature, inputs), deadline)
        except RequestError:
            self._signatures = None  # perhaps another version answers by now
            raise

    def _rows(self, call: Call[T], deadline: Deadline) -> list[T]:
        size = row_calls.limit(self._limit, self._signatures, call.signature) or call.rows
        return [
            answer
            for part in call.parts(size)
            for answer in part.read(self._predict(part.signature, part.columns, deadline))
        ]
