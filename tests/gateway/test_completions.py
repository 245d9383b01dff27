"""Completions by the official client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from exporter.client.errors import RequestError
from exporter.gateway.models import Models
from exporter.gateway.served_model import ServedModel
from tests.gateway.conftest import Running
from tests.gateway.fake import CAP, EOS, FakeModel, manifest


@pytest.fixture
def client(running: Running) -> Iterator[openai.OpenAI]:
    running.fake.__init__()  # type: ignore[misc]
    with running.client() as client:
        yield client


def test_answers_with_usage(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="toy", prompt="abc", max_tokens=20)
    assert answer.object == "text_completion"
    assert answer.model == "toy"
    assert [(c.index, c.text, c.finish_reason) for c in answer.choices] == [(0, "cba", "stop")]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        3,
        4,
        7,
    )


def test_length_is_a_finish_reason_and_16_the_default(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="toy", prompt="x" * 30)
    assert answer.choices[0].text == "x" * 16
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [("ab", ["ba"]), ([97, 98], ["ba"]), (["ab", "cd"], ["ba", "dc"]), ([[97], [98]], ["a", "b"])],
)
def test_every_form_of_a_prompt(client: openai.OpenAI, prompt: object, texts: list[str]) -> None:
    answer = client.completions.create(model="toy", prompt=prompt)  # type: ignore[call-overload]
    assert [choice.text for choice in answer.choices] == texts


def test_options_arrive_as_inputs_of_the_row(running: Running, client: openai.OpenAI) -> None:
    client.completions.create(
        model="toy",
        prompt="ab",
        temperature=0.5,
        top_p=0.9,
        presence_penalty=1.5,
        frequency_penalty=-1,
        seed=7,
        max_tokens=9,
        logit_bias={"97": -100, "98": 3},
        extra_body={"top_k": 5, "min_p": 0.1, "stop_token_ids": [99], "ignore_eos": True},
    )
    (row,) = running.fake.generations
    given = {key: row[key] for key in ("temperature", "top_p", "presence_penalty", "frequency_penalty")}
    assert given == {
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 1.5,
        "frequency_penalty": -1,
    }
    assert (row["seed"], row["max_new_tokens"], row["top_k"], row["min_p"]) == (7, 9, 5, 0.1)
    assert row["logit_bias_ids"] == [97, 98, *[-1] * 6]
    assert row["logit_bias_values"][:2] == [-100, 3]
    assert row["stop_token_ids"] == [99, *[-1] * 7]
    assert row["ignore_eos"] is True
    assert row["guide"] == -1


def test_what_is_not_said_is_the_exports_own(running: Running, client: openai.OpenAI) -> None:
    client.completions.create(model="toy", prompt="ab")
    (row,) = running.fake.generations
    assert row["temperature"] == 0.0  # the export is greedy, whatever its temperature
    assert row["seed"] >= 0  # drawn here


def test_n_answers_draw_with_seeds_of_their_own(running: Running, client: openai.OpenAI) -> None:
    running.fake.reply = lambda text, seed: f"{text}{seed}"
    answer = client.completions.create(model="toy", prompt=["a", "b"], n=2, seed=5)
    assert [(c.index, c.text) for c in answer.choices] == [(0, "a5"), (1, "a6"), (2, "b5"), (3, "b6")]


def test_n_answers_count_from_the_exports_seed(start: Callable[..., Running]) -> None:
    running = start()
    generation = {"do_sample": True, "seed": 7}
    model = ServedModel(manifest(name="seeded", generation=generation, logprobs=None), running.fake)
    running.gateway.models = Models({"seeded": model, **running.models}, rows_at_once=4)
    running.fake.reply = lambda _, seed: str(seed)
    client = running.client()
    user: list[Any] = [{"role": "user", "content": "a"}]
    answer = client.completions.create(model="seeded", prompt="a", n=3)
    chat = client.chat.completions.create(model="seeded", messages=user, n=3)
    assert [c.text for c in answer.choices] == [c.message.content for c in chat.choices] == ["7", "8", "9"]
    assert client.completions.create(model="seeded", prompt="a", seed=1).choices[0].text == "1"
    own = {"signature": "serving_default"}
    whole = client.completions.create(model="seeded", prompt="ab", n=2, extra_body=own)
    assert [c.text for c in whole.choices] == ["0", "0"]  # takes no seed: the server's own


def test_best_of_chooses_by_log_probability(running: Running, client: openai.OpenAI) -> None:
    running.fake.reply = lambda text, seed: {5: "z", 6: "a", 7: "m"}[seed]  # later letters are less probable
    answer = client.completions.create(model="toy", prompt="a", n=2, best_of=3, seed=5)
    assert [(c.index, c.text) for c in answer.choices] == [(0, "a"), (1, "m")]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6  # all three were generated


def test_echo(client: openai.OpenAI) -> None:
    assert client.completions.create(model="toy", prompt="ab", echo=True).choices[0].text == "abba"
    assert client.completions.create(model="toy", prompt=[97, 98], echo=True).choices[0].text == "abba"


def test_logprobs(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="toy", prompt="ba", logprobs=2)
    found = answer.choices[0].logprobs
    assert found is not None
    assert found.tokens == ["a", "b", ""]
    assert found.token_logprobs == [-97 / 256, -98 / 256, -1.0]
    assert found.top_logprobs is not None
    assert found.top_logprobs[0] == {"a": -97 / 256, "b": -97 / 256 - 1}
    assert found.text_offset == [0, 1, 2]


@pytest.mark.parametrize(
    ("stop", "text"),
    [("d", "hgfe"), (["x", "ed"], "hgf"), ("dcb", "hgfe"), ("q", "hgfedcba"), ("ah", "hgfedcba")],
)
def test_stop_strings_end_the_answer(client: openai.OpenAI, stop: str | list[str], text: str) -> None:
    for model in ("toy", "whole"):
        answer = client.completions.create(model=model, prompt="abcdefgh", stop=stop)
        assert (answer.choices[0].text, answer.choices[0].finish_reason) == (text, "stop")


def test_a_stop_string_spares_the_rest(running: Running, client: openai.OpenAI) -> None:
    running.fake.reply = lambda *_: "ab. " + "x" * 180
    answer = client.completions.create(model="toy", prompt="a", stop=".", max_tokens=CAP)
    assert answer.choices[0].text == "ab"
    assert sum(1 for _ in running.fake.generations) == 1  # of four tokens; four more calls make the whole


def test_a_model_with_text_alone(running: Running, client: openai.OpenAI) -> None:
    assert client.completions.create(model="plain", prompt="abc").choices[0].text == "cba"
    with pytest.raises(openai.BadRequestError, match="temperature: model plain takes no such option"):
        client.completions.create(model="plain", prompt="abc", temperature=1)
    with pytest.raises(openai.BadRequestError, match="export it with --extra-signatures generate_tokens"):
        client.completions.create(model="plain", prompt=[97])


def test_allowed_tokens(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="toy", prompt="ab", extra_body={"allowed_token_ids": [97, EOS]})
    assert answer.choices[0].text == "aa"


@pytest.mark.parametrize(
    ("change", "words", "param"),
    [
        ({"max_tokens": CAP + 1}, "exported for at most 200 new tokens", "max_tokens"),
        ({"temperature": 3}, "temperature: input should be less than or equal to 2, got 3", "temperature"),
        ({"n": 0}, "n: input should be greater than or equal to 1", "n"),
        ({"temperature": "1"}, "temperature: input should be a valid number, got '1'", "temperature"),
        ({"best_of": 1, "n": 2}, "best_of: 1; must be n", "best_of"),
        ({"prompt": []}, "prompt: at least one", "prompt"),
        ({"prompt": ""}, "the prompt is empty", None),
        ({"prompt": [9999]}, "token id 9999; allowed: 0 to 259", "prompt"),
        ({"prompt": "x" * 513}, "longest prompt is 512 tokens. Your prompt has 513", None),
        ({"logit_bias": {"a": 1}}, "'a' is no token id", "logit_bias"),
        (
            {"logit_bias": {str(i): 1 for i in range(9)}},
            "9 token ids; this model takes at most 8",
            "logit_bias",
        ),
        ({"stop": [""]}, "an empty string", "stop"),
        ({"suffix": "x"}, "suffix: not supported", "suffix"),
        ({"logprobs": 3}, "export it with -g logprobs=3", "logprobs"),
    ],
)
def test_refusals(client: openai.OpenAI, change: dict[str, object], words: str, param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(**{"model": "toy", "prompt": "ab", **change})  # type: ignore[call-overload]
    assert words in str(error.value)
    assert error.value.param == param
    assert error.value.type == "invalid_request_error"


class Refusing(FakeModel):
    """Answers a row's error, as the graph does."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.error = error

    def _encode(self, row: Any) -> dict[str, Any]:
        return super()._encode(row) | {"error": [self.error.encode()]}


@pytest.mark.parametrize(
    ("error", "code"),
    [  # of the graph's texts; tests/saved_model/test_requests.py has them
        ("text: the prompt has 40 tokens; allowed: 1 to 32", "context_length_exceeded"),
        (
            "text: the prompt has 40 tokens; allowed: 1 to 32; long_64 takes up to 64",
            "context_length_exceeded",
        ),
        ("text: the prompt is empty; allowed: 1 to 32 tokens", "invalid_value"),
    ],
)
def test_a_rows_own_error(start: Callable[..., Running], error: str, code: str) -> None:
    running = start()
    running.gateway.models = Models({"toy": ServedModel(manifest(), Refusing(error))}, rows_at_once=4)
    with pytest.raises(openai.BadRequestError) as raised:
        running.client().completions.create(model="toy", prompt="ab")
    assert raised.value.code == code
    assert error in str(raised.value)


@pytest.mark.parametrize("change", [{"prompt": ["a"] * 129}, {"prompt": ["a"] * 65, "n": 2}])
def test_too_many_answers_ask_no_server(
    running: Running, client: openai.OpenAI, change: dict[str, object]
) -> None:
    with pytest.raises(openai.BadRequestError, match="at most 128 in all"):
        client.completions.create(**{"model": "toy", **change})  # type: ignore[call-overload]
    assert running.fake.calls == []


def test_unknown_fields_are_named_and_harmless_ones_ignored(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"temprature.*did you mean 'temperature'"):
        client.completions.create(model="toy", prompt="ab", extra_body={"temprature": 1})
    client.completions.create(model="toy", prompt="ab", user="someone", extra_body={"store": True})


def test_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"'toi' does not exist \(did you mean 'toy'\?\)") as error:
        client.completions.create(model="toi", prompt="ab")
    assert error.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("INVALID_ARGUMENT", openai.BadRequestError, "of the row"),
        ("UNAVAILABLE", openai.InternalServerError, "not available"),
        ("DEADLINE_EXCEEDED", openai.InternalServerError, "in time"),
        ("INTERNAL", openai.InternalServerError, "INTERNAL"),
    ],
)
def test_failures_of_servers(
    running: Running, client: openai.OpenAI, code: str, error: type[openai.APIError], words: str
) -> None:
    running.fake.failures = [RequestError(code, "of the row at 10.0.0.1")]
    with pytest.raises(error, match=words) as raised:
        client.completions.create(model="toy", prompt="ab")
    assert ("10.0.0.1" in str(raised.value)) == (code == "INVALID_ARGUMENT")


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["toy", "whole", "plain"]
    assert client.models.retrieve("whole").id == "whole"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_embeddings_are_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="embeddings: models here generate text"):
        client.embeddings.create(model="toy", input="a")
