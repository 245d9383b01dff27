"""What is sent to TensorFlow Serving's REST and gRPC APIs, and how its answers count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest

from exporter.client.address import Model as Asked
from exporter.client.errors import RequestError
from exporter.errors import OptionError
from exporter.loadtest.endpoint import Answer, Prepared
from exporter.loadtest.predict_endpoint import PredictEndpoint
from tests.client.stubs import GrpcStub, HttpStub, Model
from tests.serving_configs.manifests import manifest

Stub = HttpStub | GrpcStub
TEXT = ("DT_STRING", [-1])
INPUTS: dict[str, Any] = {
    "serving_default": {"text": TEXT},
    "serving_default_8": {"text": TEXT},
    "serving_default_32": {"text": TEXT},
    "encode": {"text": TEXT},
    "generate": {"text": TEXT, "max_new_tokens": ("DT_INT32", [-1]), "seed": ("DT_INT64", [-1])},
    "tokens": {"input_ids": ("DT_INT32", [-1, 6]), "num_tokens": ("DT_INT32", [-1])},
    "chat": {"user": TEXT, "system": TEXT},
    "score": {"text": TEXT, "continuation": TEXT},
    "best_of": {"text": TEXT},
    "best_of_4": {"text": TEXT},
}


def answered(rows: list[str], **more: Any) -> dict[str, Any]:
    """Two tokens a row; an empty text is refused."""
    return {
        "generated_text": rows,
        "num_tokens": [2 if row else 0 for row in rows],
        "error": ["" if row else "text: the prompt is empty" for row in rows],
    }


@pytest.fixture(params=[HttpStub, GrpcStub], ids=["rest", "grpc"])
def stub(request: pytest.FixtureRequest) -> Iterator[Stub]:
    running: Stub = request.param()
    yield running
    running.stop()


def served(stub: Stub, *, buckets: bool = True) -> Model:
    """``buckets``: whether each has a signature, which tells them."""
    words: Callable[..., Any] = lambda text: {  # noqa: E731
        "input_ids": [[1] * 9 for _ in text],
        "num_tokens": [len(row.split()) for row in text],
        "error": ["" for _ in text],
    }
    told = (
        INPUTS
        if buckets
        else {name: INPUTS[name] for name in INPUTS if not name.startswith("serving_default_")}
    )
    model = Model(
        told,
        serving_default=lambda text: answered(text),
        generate=lambda text, max_new_tokens, seed: answered(text),
        encode=words,
        tokens=lambda input_ids, num_tokens: {"generated_ids": input_ids, "num_tokens": num_tokens},
        chat=lambda user, system: answered(user),
        score=lambda text, continuation: {"score": [0.5 for _ in text], "num_tokens": [3 for _ in text]},
    )
    if isinstance(stub, GrpcStub):
        model.grpc(stub)
    else:
        stub.answer = model.http
    return model


def fail(stub: Stub) -> None:
    """Every prediction, from now on."""
    if isinstance(stub, GrpcStub):
        stub.handlers["Predict"] = lambda _, context: context.abort(
            grpc.StatusCode.UNAVAILABLE, "the queue is full"
        )
    else:
        stub.answer = (503, json.dumps({"error": "the queue is full"}).encode())


def asked(
    stub: Stub,
    rows: list[dict[str, Any]],
    signature: str = "serving_default",
    options: dict[str, Any] | None = None,
    **door: Any,
) -> tuple[PredictEndpoint, Prepared, Answer]:
    endpoint = PredictEndpoint(stub.url, Asked("stories"), signature, options or {}, timeout=10.0, **door)

    async def main() -> tuple[Prepared, Answer]:
        try:
            await endpoint.open()
            prepared = await endpoint.prepare(rows)
            return prepared, await endpoint.send(prepared)
        finally:
            await endpoint.close()

    return endpoint, *asyncio.run(main())


def test_a_request_of_two_rows(stub: Stub) -> None:
    model = served(stub)
    endpoint, prepared, answer = asked(stub, [{"prompt": "a b c"}, {"prompt": "d"}])
    assert (prepared.rows, prepared.prompt_tokens, prepared.longest) == (2, 4, 3)
    assert (answer.generated_tokens, answer.row_errors) == (4, ())
    assert (endpoint.buckets, endpoint.longest) == ((8, 32), 6)
    assert model.calls[-1] == ("serving_default", {"text": ["a b c", "d"]})


def test_refused_rows_are_counted(stub: Stub) -> None:
    served(stub)
    answer = asked(stub, [{"prompt": "a"}, {"prompt": ""}])[2]
    assert (answer.generated_tokens, answer.row_errors) == (2, ("text: the prompt is empty",))


def test_rows_have_options_of_their_own(stub: Stub) -> None:
    model = served(stub)
    rows = [{"prompt": "a", "max_new_tokens": 3}, {"prompt": "b"}]
    asked(stub, rows, "generate", {"max_new_tokens": 7})
    assert model.calls[-1][1] == {"text": ["a", "b"], "max_new_tokens": [3, 7], "seed": [-1, -1]}


def test_ids_are_filled_up(stub: Stub) -> None:
    model = served(stub)
    _, prepared, answer = asked(stub, [{"input_ids": [5, 6, 7]}, {"input_ids": [8]}], "tokens")
    assert model.calls[-1][1] == {
        "input_ids": [[5, 6, 7, 0, 0, 0], [8, 0, 0, 0, 0, 0]],
        "num_tokens": [3, 1],
    }
    assert (prepared.prompt_tokens, prepared.longest, answer.generated_tokens) == (4, 3, 4)


def test_what_a_template_or_continuation_adds_is_no_bucket(stub: Stub) -> None:
    served(stub)
    chat = asked(stub, [{"prompt": "hello you"}], "chat", {"system": ""})
    assert (chat[1].prompt_tokens, chat[1].longest, chat[2].generated_tokens) == (2, None, 2)
    score = asked(stub, [{"text": "a b", "continuation": "c"}], "score")
    assert (score[1].longest, score[2].generated_tokens) == (None, None)


def test_a_manifest_tells_the_buckets(stub: Stub) -> None:
    served(stub)
    endpoint = asked(stub, [{"prompt": "a"}], manifest=manifest())[0]
    assert (endpoint.buckets, endpoint.longest) == ((32, 128), 128)


@pytest.mark.parametrize(
    ("signature", "buckets", "longest"),
    [
        ("serving_default_32", (32,), 32),
        ("best_of_4", (32, 128), 128),  # a preset whose name ends in a number
    ],
)
def test_a_signature_of_one_bucket_takes_no_longer_prompts(
    stub: Stub, signature: str, buckets: tuple[int, ...], longest: int
) -> None:
    served(stub)
    endpoint = PredictEndpoint(stub.url, Asked("stories"), signature, {}, timeout=9, manifest=manifest())
    asyncio.run(_opened(endpoint))
    assert (endpoint.buckets, endpoint.longest) == (buckets, longest)


async def _opened(endpoint: PredictEndpoint) -> None:
    await endpoint.open()
    await endpoint.close()


@pytest.mark.parametrize(
    ("rows", "signature", "words"),
    [
        ([{"prompt": "a"}], "nope", "no signature 'nope'"),
        ([{"prompt": "a", "sed": 1}], "generate", "no input 'sed' .did you mean 'seed'"),
        ([{"prompt": "a"}], "score", "needs continuation too"),
        ([{"prompt": "a"}], "tokens", "no input is the prompt"),
        ([{"input_ids": [1] * 7}], "tokens", "7 values; signature 'tokens' takes at most 6"),
        ([{"input_ids": 7}], "tokens", "a list is needed, got 7"),
    ],
)
def test_rows_that_cannot_be_sent(stub: Stub, rows: list[dict[str, Any]], signature: str, words: str) -> None:
    served(stub)
    with pytest.raises(OptionError, match=words):
        asked(stub, rows, signature)


def test_a_failure_is_the_servers_and_costs_no_further_request(stub: Stub) -> None:
    served(stub)
    endpoint = PredictEndpoint(stub.url, Asked("stories"), "serving_default", {}, timeout=10.0)

    async def main(after: Callable[[], Awaitable[None]]) -> None:
        await endpoint.open()
        prepared = await endpoint.prepare([{"prompt": "a"}])
        fail(stub)
        stub.requests.clear()
        for _ in range(3):
            with pytest.raises(RequestError, match="queue is full") as caught:
                await endpoint.send(prepared)
            assert caught.value.code == "UNAVAILABLE"
        await after()

    asyncio.run(main(endpoint.close))
    assert len(stub.requests) == 3
