"""A model server in the process: bytes as tokens, and a model that answers what a function says.

Its signatures have the shapes of an export's; ``reply`` says the answer to a prompt, by text and seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exporter.client.errors import RequestError
from exporter.client.flow import Deadline
from exporter.manifest import ChatInfo, Manifest

EOS, SPECIALS = 256, {"<|end|>": 256, "<|user|>": 257, "<|assistant|>": 258, "<|system|>": 259}
VOCABULARY, LONGEST, CAP, WIDTH, SEGMENTS = 260, 512, 200, 8, 33

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role if m.role != 'tool' else 'user' }}|>{{ m.content }}<|end|>"
    "{% endfor %}"
    "{% if tools %}<tool_call> {{ tools | tojson }}{% endif %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

_SCALARS = {
    "max_new_tokens": "int32",
    "temperature": "float",
    "top_k": "int32",
    "top_p": "float",
    "min_p": "float",
    "repetition_penalty": "float",
    "presence_penalty": "float",
    "frequency_penalty": "float",
    "seed": "int64",
    "ignore_eos": "bool",
    "guide": "int32",
}
_LISTS = {
    "stop_token_ids": "int32",
    "logit_bias_ids": "int32",
    "logit_bias_values": "float",
    "allowed_token_ids": "int32",
    "bad_token_ids": "int32",
}
_PIECES = {"num_generated": "int32", "piece_tokens": "int32"}


def manifest(
    *, name: str = "toy", without: tuple[str, ...] = (), logprobs: int | None = 2, **changes: Any
) -> Manifest:
    """Of the fake's model; ``without``: signatures that it was exported without."""

    def tensors(**shapes: tuple[str, list[int | None]]) -> dict[str, Any]:
        return {key: {"dtype": dtype, "shape": shape} for key, (dtype, shape) in shapes.items()}

    ids = tensors(input_ids=("int32", [None, LONGEST]), num_tokens=("int32", [None]))
    options = tensors(
        **{key: (dtype, [None]) for key, dtype in _SCALARS.items()},
        **{key: (dtype, [None, WIDTH]) for key, dtype in _LISTS.items()},
    )
    state = tensors(generated_ids=("int32", [None, CAP]), **{k: (d, [None]) for k, d in _PIECES.items()})
    answer = tensors(generated_text=("string", [None]), num_tokens=("int32", [None]))
    ranks = tensors(logprobs=("float", [None, CAP])) if logprobs is not None else {}
    signatures = {
        "serving_default": {"inputs": tensors(text=("string", [None])), "outputs": answer},
        "encode": {"inputs": tensors(text=("string", [None])), "outputs": ids},
        "decode": {
            "inputs": tensors(input_ids=("int32", [None, LONGEST + CAP]), num_tokens=("int32", [None])),
            "outputs": tensors(text=("string", [None])),
        },
        "encode_segments": {
            "inputs": tensors(segments=("string", [None, SEGMENTS])),
            "outputs": ids,
        },
        "generate_tokens": {"inputs": ids | options, "outputs": answer | ranks},
        "resume": {"inputs": ids | state | options, "outputs": answer | ranks},
    }
    facts: dict[str, Any] = {
        "genserve_version": "0",
        "tensorflow_version": "2.21.0",
        "name": name,
        "version": 1,
        "created": "2026-01-31T12:00:00+00:00",
        "model": {
            "source": "demo:toy",
            "model_type": "toy",
            "kind": "decoder_only",
            "parameters": 1,
            "vocab_size": VOCABULARY,
            "context_length": None,
            "dtype": "float32",
        },
        "tokenizer": "bytes",
        "buckets": {"prompt_lengths": [LONGEST], "batch_sizes": [1, 4]},
        "max_new_tokens": CAP,
        "signatures": {key: value for key, value in signatures.items() if key not in without},
        "generation": {"do_sample": False, "temperature": 0.7, "logprobs": logprobs},
        "options": {"overflow": "error", "resume_piece": 64},
        "memory": {"weights_bytes": 1, "cache_bytes_per_row": 1},
        "chat": ChatInfo(template=TEMPLATE).model_dump(),
    }
    return Manifest.model_validate(facts | changes)


def encode(text: str, *, trusted: bool = False) -> list[int]:
    if trusted:
        for word, number in SPECIALS.items():
            before, found, after = text.partition(word)
            if found:
                return [*encode(before, trusted=True), number, *encode(after, trusted=True)]
    return list(text.encode())


def decode(ids: Any) -> bytes:
    return bytes(int(token) for token in ids if token < EOS)


class FakeModel:
    """A ``Predictor``. ``calls`` are what it was asked.

    Attributes:
      failures: raised by the next generations, one each.
      lasts: how many generations it answers before it is gone.
      held_after: how many it answers before one never ends; ``cancelled`` counts those that were given up.
    """

    def __init__(self, reply: Callable[[str, int], str] | None = None) -> None:
        self.reply = reply or (lambda text, _: text[::-1])
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[RequestError] = []
        self.lasts: int | None = None
        self.is_ready = True
        self.held_after: int | None = None
        self.cancelled = 0
        self.at_once = self.most_at_once = 0

    async def predict(
        self, signature: str, inputs: Mapping[str, Any], deadline: Deadline, *, light: bool = False
    ) -> dict[str, Any]:
        self.calls.append((signature, dict(inputs)))
        if not light and self.failures:
            raise self.failures.pop(0)
        if not light and self.lasts is not None and len(self.generations) > self.lasts:
            raise RequestError("UNAVAILABLE", "gone")
        self.at_once += not light
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await asyncio.sleep(0)
            if not light and self.held_after is not None and len(self.generations) > self.held_after:
                await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= not light
        return getattr(self, f"_{signature}")({name: value[0] for name, value in inputs.items()})

    @property
    def generations(self) -> list[dict[str, Any]]:
        """The rows of every call that generates."""
        names = ("generate_tokens", "resume", "serving_default")
        return [{key: value[0] for key, value in row.items()} for name, row in self.calls if name in names]

    async def ready(self, deadline: Deadline) -> bool:
        return self.is_ready

    async def close(self) -> None:
        pass

    def _encode(self, row: Any) -> dict[str, Any]:
        return _ids(encode(row["text"]))

    def _encode_segments(self, row: Any) -> dict[str, Any]:
        parts = [encode(text, trusted=not place % 2) for place, text in enumerate(row["segments"])]
        return _ids([token for part in parts for token in part])

    def _decode(self, row: Any) -> dict[str, Any]:
        return {"text": np.array([decode(row["input_ids"][: row["num_tokens"]])], object), "error": [b""]}

    def _serving_default(self, row: Any) -> dict[str, Any]:
        answer = self._answer(encode(row["text"]), {"seed": 0, "max_new_tokens": CAP})
        return _outputs(answer, b"".join([decode(answer)]), _reason(answer), None)

    def _generate_tokens(self, row: Any) -> dict[str, Any]:
        answer = self._answer(row["input_ids"][: row["num_tokens"]], row)
        return _outputs(answer, decode(answer), _reason(answer), 2)

    def _resume(self, row: Any) -> dict[str, Any]:
        done = row["num_generated"]
        answer = self._answer(row["input_ids"][: row["num_tokens"]], row)
        assert list(row["generated_ids"][:done]) == answer[:done], "another answer than the one begun"
        end = min(len(answer), done + row["piece_tokens"])
        last = end == len(answer)
        shown, now = _settled(answer[:done]), decode(answer) if last else _settled(answer[:end])
        return _outputs(answer[done:end], now[len(shown) :], _reason(answer) if last else b"", 2)

    def _answer(self, prompt: Any, row: Any) -> list[int]:
        """The whole answer's ids."""
        text = b"".join(
            bytes([token]) if token < EOS else _word(token) for token in map(int, prompt)
        ).decode()
        ids = [*encode(self.reply(text, row["seed"])), EOS]
        allowed = [token for token in row.get("allowed_token_ids", ()) if token >= 0]
        ids = [token if not allowed or token in allowed else allowed[0] for token in ids]
        for place, token in enumerate(ids):
            if token in row.get("stop_token_ids", ()) or token == EOS:
                ids = [*ids[:place], EOS]
                break
        return ids[: row["max_new_tokens"]]


def _word(token: int) -> bytes:
    return next(word for word, number in SPECIALS.items() if number == token).encode()


def _settled(ids: list[int]) -> bytes:
    """Whole characters alone."""
    text = decode(ids)
    return text.decode("utf-8", "ignore").encode()


def _reason(answer: list[int]) -> bytes:
    return b"stop" if answer and answer[-1] == EOS else b"length"


def _ids(ids: list[int]) -> dict[str, Any]:
    return {"input_ids": np.array([ids]), "num_tokens": [len(ids)], "error": [b""]}


def _outputs(ids: list[int], text: bytes, reason: bytes, ranked: int | None) -> dict[str, Any]:
    """Token t has log-probability -t / 256; the other one that is ranked is the next id, with 1 less."""
    row = np.array([[*ids, *[0] * (CAP - len(ids))]])
    outputs: dict[str, Any] = {
        "generated_ids": row,
        "generated_text": np.array([text], object),
        "num_tokens": np.array([len(ids)]),
        "finish_reason": np.array([reason], object),
        "error": np.array([b""], object),
    }
    if ranked is not None:
        outputs["logprobs"] = -row / 256
        outputs["top_tokens"] = np.stack([row, (row + 1) % EOS], -1)
        outputs["top_logprobs"] = np.stack([-row / 256, -row / 256 - 1], -1)
    return outputs
