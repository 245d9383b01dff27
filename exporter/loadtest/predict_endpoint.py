"""A signature of a model in TensorFlow Serving, over REST or gRPC."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.client import row_calls
from exporter.client.address import Model
from exporter.client.answers import SignatureInfo, as_text
from exporter.client.connect import Server
from exporter.errors import OptionError, ServingError
from exporter.loadtest.endpoint import Answer, Prepared, Row, within
from exporter.manifest import Manifest

_ENCODE = "encode"
#: Inputs that hold a prompt.
_PROMPT_INPUTS = ("text", "user")
#: Of one bucket each, with ``--split-by-length``.
_OF_BUCKET = re.compile(r"(?:serving_default|tokens)_(\d+)")
_AT_ONCE = 8


class PredictEndpoint:
    """Rows are the signature's inputs by name; ``prompt`` stands for the one that holds a prompt.

    Args:
      options: inputs of every row that does not have them itself; others get their neutral value.
      timeout: seconds for an answer.
      manifest: of the version, for its buckets.
    """

    def __init__(
        self,
        url: str,
        model: Model,
        signature: str,
        options: Mapping[str, Any],
        *,
        timeout: float,
        token: str | None = None,
        ca: Path | None = None,
        manifest: Manifest | None = None,
    ) -> None:
        self._server = Server(url, model, token, ca)
        self._dialect = self._server.dialect()
        self._signature, self._options, self._timeout = signature, options, timeout
        self.buckets = manifest.buckets.prompt_lengths if manifest else ()
        self.longest = max(self.buckets, default=None)
        self._connection: Any = None
        self._signatures: Mapping[str, SignatureInfo] = {}

    async def open(self) -> None:
        self._connection = self._server.connection(asynchronous=True)
        async with within(self._timeout):
            self._signatures = await self._run(self._dialect.metadata())
        self._info = row_calls.find(self._signatures, self._signature)
        if not self.buckets:
            sizes = {int(match[1]) for name in self._signatures if (match := _OF_BUCKET.fullmatch(name))}
            self.buckets = tuple(sorted(sizes))
            tokens = self._signatures.get("tokens")
            self.longest = row_calls.width_of(tokens.inputs.get("input_ids")) if tokens else None
        whole, _, ending = self._signature.rpartition("_")
        if whole in self._signatures and ending in map(str, self.buckets):  # a bucket's own signature
            self.longest = int(ending)
            self.buckets = tuple(size for size in self.buckets if size <= self.longest)

    async def tokens(self, texts: Sequence[str]) -> list[int | None]:
        """By the signature ``encode``, a text a request: any server takes that."""
        if _ENCODE not in self._signatures:
            return [None] * len(texts)
        from asyncio import Semaphore, gather

        at_once = Semaphore(_AT_ONCE)

        async def one(text: str) -> int | None:
            async with at_once, within(self._timeout):
                answer = await self._run(self._dialect.predict(_ENCODE, {"text": [text]}))
            return None if _errors(answer) else int(answer["num_tokens"][0])

        return list(await gather(*map(one, texts)))

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        columns = [self._columns(row) for row in rows]
        joined = {name: [value for row in columns for value in row[name]] for name in columns[0]}
        counts = await self._counts(joined)
        known = [count for count in counts if count is not None]
        whole = len(known) == len(rows)
        return Prepared(
            joined,
            len(rows),
            prompt_tokens=sum(known) if whole else None,
            longest=max(known) if whole and self._shows_bucket() else None,
        )

    async def send(self, prepared: Prepared) -> Answer:
        outputs = await self._run(self._dialect.predict(self._signature, prepared.content))
        generated = None
        if "num_tokens" in outputs and {"generated_text", "generated_ids"} & outputs.keys():
            generated = int(outputs["num_tokens"].sum())
        return Answer(tuple(_errors(outputs)), generated)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _run(self, flow: Any) -> Any:
        """Drives a flow; a failure is not told to it, or a dialect would ask for the metadata once more."""
        item = next(flow)
        while True:
            # The caller's own timeout is the shorter one: a library's would be worded by chance.
            answer = await self._connection.send(item, 2 * self._timeout)
            try:
                item = flow.send(answer)
            except StopIteration as done:
                return done.value

    def _columns(self, row: Row) -> dict[str, list[Any]]:
        """One row of every input."""
        given = {**self._options, **row}
        if "prompt" in given:
            given[self._prompt_input()] = given.pop("prompt")
        if "input_ids" in given and "num_tokens" in self._info.inputs:
            given.setdefault("num_tokens", len(_list_of("input_ids", given["input_ids"])))
        columns = {name: [self._value(name, value)] for name, value in given.items()}
        return row_calls.with_neutral(self._signature, columns, self._info)

    def _prompt_input(self) -> str:
        inputs = self._info.inputs
        found = [name for name in _PROMPT_INPUTS if name in inputs]
        texts = [name for name, tensor in inputs.items() if tensor.dtype == "string"]
        if not found and len(texts) != 1:
            raise OptionError(
                f"signature {self._signature!r}: no input is the prompt; rows of --prompts FILE.jsonl name "
                f"its inputs: {', '.join(sorted(inputs))}"
            )
        return found[0] if found else texts[0]

    def _value(self, name: str, value: Any) -> Any:
        """Of one row; a list is filled up to the width that the signature has."""
        width = row_calls.width_of(self._info.inputs.get(name))
        if width is None:
            return value
        items = _list_of(name, value)
        if len(items) > width:
            raise OptionError(
                f"{name}: {len(items)} values; signature {self._signature!r} takes at most {width}"
            )
        filler: Any = row_calls.EXTRA_NEUTRAL.get(name, "" if items and isinstance(items[0], str) else 0)
        return [*items, *[filler] * (width - len(items))]

    async def _counts(self, columns: Mapping[str, list[Any]]) -> list[int | None]:
        """Tokens of each row's prompt."""
        if "input_ids" in columns:
            return [int(count) for count in columns.get("num_tokens", [])]
        texts = next((columns[name] for name in _PROMPT_INPUTS if name in columns), [])
        return await self.tokens([str(text) for text in texts])

    def _shows_bucket(self) -> bool:
        """Whether a prompt's own tokens choose the bucket: no template or continuation adds to them."""
        return {"text", "input_ids"} & self._info.inputs.keys() != set() and not (
            {"continuation", "generated_ids"} & self._info.inputs.keys()
        )


def _list_of(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise OptionError(f"{name}: a list is needed, got {value!r:.60}")
    return value


def _errors(outputs: Mapping[str, Any]) -> list[str]:
    """The row errors of an answer; a row of several sequences has the same one for each."""
    if "error" not in outputs:
        return []
    try:
        rows = [row if isinstance(row, str | bytes) else next(iter(row), b"") for row in outputs["error"]]
    except TypeError:
        raise ServingError("output 'error' is no text") from None
    return [as_text(error) for error in rows if error]
