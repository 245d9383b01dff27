"""``Client`` and ``AsyncClient``: what they send, answer and refuse to send, over both protocols."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from exporter.client import (
    AsyncClient,
    Client,
    Completion,
    Decoding,
    Encoding,
    NextToken,
    NextTokens,
    RequestError,
    Score,
)
from exporter.client.row_calls import EXTRA_NEUTRAL, NEUTRAL
from exporter.errors import OptionError
from tests.client.stubs import GrpcStub, HttpStub, Model

TEXT = {"text": ("DT_STRING", [-1])}
OPTIONS = {
    "max_new_tokens": "DT_INT32",
    "temperature": "DT_FLOAT",
    "top_k": "DT_INT32",
    "top_p": "DT_FLOAT",
    "min_p": "DT_FLOAT",
    "repetition_penalty": "DT_FLOAT",
    "presence_penalty": "DT_FLOAT",
    "frequency_penalty": "DT_FLOAT",
    "seed": "DT_INT64",
}


def _answer(text: list[str], reason: str = "stop") -> dict[str, Any]:
    if "boom" in text:
        raise ValueError("boom is refused")
    return {
        "generated_text": [item.upper() for item in text],
        "num_tokens": [len(item) for item in text],
        "finish_reason": [reason for _ in text],
        "error": ["bad row" if item == "bad" else "" for item in text],
        "score": [-0.5] * len(text),
    }


def _encode(text: list[str]) -> dict[str, Any]:
    width = max(map(len, text))
    return {
        "input_ids": [[ord(char) for char in item] + [0] * (width - len(item)) for item in text],
        "num_tokens": [len(item) for item in text],
        "error": [""] * len(text),
    }


def _decode(input_ids: list[list[int]], num_tokens: list[int]) -> dict[str, Any]:
    assert {len(row) for row in input_ids} == {4}, "padded to the signature's width"
    texts = ["".join(map(chr, row[:count])) for row, count in zip(input_ids, num_tokens, strict=True)]
    return {"text": texts, "error": [""] * len(texts)}


class Recorded(Model):
    """Remembers the ``generate`` signature's options."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.sizes: list[int] = []
        super().__init__(
            {
                "serving_default": TEXT,
                "generate": TEXT | {name: (dtype, [-1]) for name, dtype in OPTIONS.items()},
                "score": TEXT | {"continuation": ("DT_STRING", [-1])},
                "encode": TEXT,
                "decode": {"input_ids": ("DT_INT32", [-1, 4]), "num_tokens": ("DT_INT32", [-1])},
                "next_token": TEXT,
                "fixed": {"text": ("DT_STRING", [2])},
            },
            serving_default=self.default,
            fixed=self.default,
            generate=self.generate,
            score=lambda text, continuation: {
                "score": [-1.5] * len(text),
                "num_tokens": [len(item) for item in continuation],
                "greedy": [item == "b" for item in continuation],
                "error": [""] * len(text),
            },
            encode=_encode,
            decode=_decode,
            next_token=lambda text: {
                "tokens": [[7, 8]] * len(text),
                "token_texts": [["x", "y"]] * len(text),
                "probabilities": [[0.5, 0.25]] * len(text),
                "error": ["bad row" if item == "bad" else "" for item in text],
            },
        )

    def default(self, text: list[str]) -> dict[str, Any]:
        self.sizes.append(len(text))
        return _answer(text)

    def generate(self, text: list[str], **options: Any) -> dict[str, Any]:
        self.options = options
        return _answer(text, "length")


@pytest.fixture
def model() -> Recorded:
    return Recorded()


@pytest.fixture(params=["rest", "grpc"])
def url(request: pytest.FixtureRequest, model: Recorded) -> Iterator[str]:
    server: Any
    if request.param == "rest":
        server = HttpStub()
        server.answer = model.http
    else:
        server = GrpcStub()
        model.grpc(server)
    yield server.url
    server.stop()


def every_call(client: Any) -> dict[str, Any]:
    """All row-wise calls; of the asyncio client, their coroutines."""
    return {
        "generate": client.generate(["ab", "bad"]),
        "with options": client.generate(["ab", "c"], max_new_tokens=5, temperature=[0.5, 0.25], seed=2**40),
        "score": client.score(["a", "a"], ["b", "cd"]),
        "encode": client.encode(["a", "bc"]),
        "decode": client.decode([[97], [98, 99]]),
        "next_token": client.next_token(["a", "bad"]),
        "nothing": client.generate([]),
    }


EXPECTED: dict[str, Any] = {
    "generate": [
        Completion("ab", ("AB",), (2,), ("stop",), "", {"score": -0.5}),
        Completion("bad", ("BAD",), (3,), ("stop",), "bad row", {"score": -0.5}),
    ],
    "with options": [
        Completion("ab", ("AB",), (2,), ("length",), "", {"score": -0.5}),
        Completion("c", ("C",), (1,), ("length",), "", {"score": -0.5}),
    ],
    "score": [Score(-1.5, 1, True), Score(-1.5, 2, False)],
    "encode": [Encoding((97,)), Encoding((98, 99))],
    "decode": [Decoding("a"), Decoding("bc")],
    "next_token": [
        NextTokens((NextToken(7, "x", 0.5), NextToken(8, "y", 0.25))),
        NextTokens((), "bad row"),
    ],
    "nothing": [],
}
NEUTRAL_OPTIONS = {name: [value] * 2 for name, value in NEUTRAL.items()}
SENT = NEUTRAL_OPTIONS | {"max_new_tokens": [5, 5], "temperature": [0.5, 0.25], "seed": [2**40] * 2}


def test_every_call(url: str, model: Recorded) -> None:
    with Client(url, "m") as client:
        assert every_call(client) == EXPECTED
        outputs = client.predict("encode", {"text": np.array(["a", "bc"], object)})
        assert outputs["input_ids"].tolist() == [[97, 0], [98, 99]]
    assert model.options == SENT


def test_every_call_in_asyncio(url: str, model: Recorded) -> None:
    async def run() -> dict[str, Any]:
        async with AsyncClient(url, "m") as client:
            waiting = every_call(client)
            answers = dict(zip(waiting, await asyncio.gather(*waiting.values()), strict=True))
            outputs = await client.predict("encode", {"text": ["a"]})
            assert outputs["input_ids"].tolist() == [[97]]
            assert "decode" in await client.metadata()
            return answers

    assert asyncio.run(run()) == EXPECTED
    assert model.options == SENT


def test_the_neutral_values_are_the_exporters() -> None:
    from exporter.generation.rows import ROW_FIELDS, row_fields

    assert {name: field.neutral for name, field in ROW_FIELDS.items() if name != "max_new_tokens"} == NEUTRAL
    further = row_fields(extras=True, guides=True).items() - ROW_FIELDS.items()
    assert {name: field.neutral for name, field in further} == EXTRA_NEUTRAL
    assert {
        name: f"DT_{field.dtype.name.upper()}".replace("FLOAT32", "FLOAT")
        for name, field in ROW_FIELDS.items()
    } == OPTIONS


def test_both_clients_have_the_same_calls() -> None:
    def calls(kind: type) -> dict[str, Any]:
        return {
            name: inspect.signature(value)
            for name, value in vars(kind).items()
            if callable(value) and not name.startswith("_")
        }

    assert calls(Client) == calls(AsyncClient)


def test_what_is_refused_before_it_is_sent(url: str, model: Recorded) -> None:
    with Client(url, "m", max_batch_size=3) as client:
        for inputs in ({"text": []}, {"text": np.zeros((0, 3))}, {"a": ["x"], "b": ()}):
            with pytest.raises(
                OptionError, match="has no rows: TensorFlow Serving with batching never answers"
            ):
                client.predict("serving_default", inputs)
        with pytest.raises(OptionError, match="input 'text' has 4 rows; the largest batch is 3"):
            client.predict("serving_default", {"text": ["a"] * 4})
        client.metadata()
        client.decode([[97]])  # which reads the signatures
        with pytest.raises(OptionError, match="input 'text' has 3 rows; the largest batch is 2"):
            client.predict("fixed", {"text": ["a"] * 3})
        for call, message in (
            (lambda: client.generate("abc"), "prompts: a list of texts is needed, got one text"),
            (lambda: client.generate(["a"], temperature=0.5), "'generate' needs max_new_tokens too"),
            (lambda: client.generate(["a"], max_new_tokens=1, temprature=0.5), "did you mean 'temperature'"),
            (lambda: client.generate(["a"], max_new_tokens=[1, 2]), "has 2 values for 1 prompts"),
            (lambda: client.generate(["a"], signature="presset", x=1), "no signature 'presset'"),
            (lambda: client.score(["a"], ["b", "c"]), "1 prompts, but 2 continuations"),
            (lambda: client.decode([[1] * 5]), "a row has 5 ids; signature 'decode' takes at most 4"),
        ):
            with pytest.raises(OptionError, match=message):
                call()
    assert model.sizes == []


def test_many_rows_become_several_requests(url: str, model: Recorded) -> None:
    prompts = [f"p{index}" for index in range(7)]
    with Client(url, "m", max_batch_size=3) as client:
        assert [answer.text for answer in client.generate(prompts)] == [prompt.upper() for prompt in prompts]
    assert model.sizes == [3, 3, 1]
    with Client(url, "m") as client:
        client.generate(prompts)
    assert model.sizes[3:] == [7]


def test_concurrent_calls_share_requests(url: str, model: Recorded) -> None:
    prompts = [f"p{index}" for index in range(10)]

    async def run() -> list[Any]:
        async with AsyncClient(url, "m", max_batch_size=4, merge_delay=0.05) as client:
            single = asyncio.gather(*(client.generate([prompt]) for prompt in prompts))
            return [*await single, await client.generate(prompts)]

    *single, together = asyncio.run(run())
    assert [answer.text for (answer,) in single] == [prompt.upper() for prompt in prompts]
    assert [answer.text for answer in together] == [prompt.upper() for prompt in prompts]
    assert sorted(model.sizes[:3]) == sorted(model.sizes[3:]) == [2, 4, 4]


def test_one_bad_call_harms_no_other(url: str, model: Recorded) -> None:
    async def run() -> list[Any]:
        async with AsyncClient(url, "m", merge_delay=0.05) as client:
            waiting = (client.generate([prompt]) for prompt in ("a", "boom", "c"))
            return await asyncio.gather(*waiting, return_exceptions=True)

    first, second, third = asyncio.run(run())
    assert (first[0].text, third[0].text) == ("A", "C")
    assert isinstance(second, RequestError)
    assert (second.code, second.message) == ("INVALID_ARGUMENT", "boom is refused")
    assert sorted(model.sizes) == [1, 1, 1, 3]
