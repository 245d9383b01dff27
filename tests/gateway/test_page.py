"""The page in headless Chromium: controls, a stream, an error, two settings; nothing on the console.

One of them is in the quick tier.
"""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf import json_format
from tensorflow_serving.apis import predict_pb2

from tests.gateway.conftest import Running

full = pytest.mark.full

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def shown() -> Iterator[Running]:
    gateway = Running(ui=True)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="the page is tried with playwright")
    if CHROMIUM is None:
        pytest.skip("the page is tried in chromium, which is not installed")
    with api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def page(browser: Any, shown: Running) -> Iterator[Any]:
    shown.fake.__init__()  # type: ignore[misc]
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(shown.url)
    page.wait_for_selector(".pane")
    yield page
    context.close()
    # A refused request is said by the browser itself; anything else is the page's fault, CSP included.
    assert [text for text in said if "Failed to load resource" not in text] == []


def answer(page: Any, place: int = 0) -> str:
    """Sends, and waits for the end."""
    page.click("#send")
    page.wait_for_selector("#send:not([disabled])")
    return page.locator(".answer").nth(place).inner_text()


def test_a_stream_with_token_probabilities(page: Any) -> None:
    page.select_option("[name=mode]", "completion")
    page.fill("#prompt", "some more words")
    assert answer(page) == "sdrow erom emos"
    first = page.locator(".token").first
    assert first.inner_text() == "s"
    assert first.get_attribute("title").startswith('"s" 63.8 %')
    counts = page.locator(".counts").inner_text()
    assert counts.startswith("15 prompt tokens, 16 new; finish: stop; first after")
    assert "tokens/s" in counts


@full
def test_a_chat_keeps_its_turns(page: Any, shown: Running) -> None:
    shown.fake.reply = lambda *_: "Hello"
    page.fill("#system", "be kind")
    page.fill("#prompt", "hi")
    assert answer(page) == "Hello"
    page.fill("#prompt", "again")
    answer(page)
    row = shown.fake.generations[-1]
    text = bytes(token for token in row["input_ids"][: row["num_tokens"]] if token < 256)
    assert text == b"be kindhiHelloagain"
    page.click("#clear")
    assert page.locator("#turns p").count() == 0


@full
def test_every_option_arrives(page: Any, shown: Running) -> None:
    values = {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.75,
        "top_k": 4,
        "min_p": 0.25,
        "repetition_penalty": 1.5,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "seed": 6,
    }
    for name, value in values.items():
        page.fill(f"[name={name}]", str(value))
    page.fill("[name=n]", "2")
    page.fill("[name=stop]", "x|yz")
    page.uncheck("[name=logprobs]")
    page.fill("#prompt", "a")
    answer(page)
    assert page.locator(".choice").count() == 2
    rows = shown.fake.generations
    assert {row["seed"] for row in rows} == {6, 7}
    given = {"max_new_tokens" if name == "max_tokens" else name: value for name, value in values.items()}
    assert all({**row, "seed": 6}[name] == value for row in rows for name, value in given.items())


@full
def test_an_error_is_shown_and_a_wrong_value_stays_here(page: Any, shown: Running) -> None:
    page.select_option("[name=mode]", "completion")
    page.fill("#prompt", "x" * 600)
    assert "longest prompt is 512 tokens" in answer(page)
    page.fill("#prompt", "x")
    page.fill("[name=top_p]", "3")
    before = len(shown.fake.calls)
    page.click("#send")
    assert page.locator("[name=top_p]").evaluate("input => input.validity.rangeOverflow")
    assert len(shown.fake.calls) == before


@full
def test_two_settings_and_a_link_of_them(page: Any, shown: Running) -> None:
    page.select_option("[name=mode]", "completion")
    page.check("#compare")
    page.locator("[name=model]").nth(1).select_option("plain")
    page.locator("[name=max_tokens]").fill("2")
    page.fill("#prompt", "abc")
    answer(page)
    assert page.locator(".answer").all_inner_texts() == ["cb", "cba"]
    page.click("#share")
    link = page.evaluate("location.href")
    assert "abc" not in link
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector(".pane >> nth=1")
    assert page.locator("[name=model]").evaluate_all("all => all.map(one => one.value)") == ["toy", "plain"]
    assert page.locator("[name=max_tokens]").first.input_value() == "2"


@full
def test_a_signature_is_chosen(page: Any, shown: Running) -> None:
    page.select_option("[name=mode]", "completion:serving_default")
    assert page.locator("[name=temperature]").count() == 0  # it takes no option
    page.fill("#prompt", "abc")
    assert answer(page) == "cba"
    assert [name for name, _ in shown.fake.calls] == ["encode", "serving_default"]
    page.select_option("[name=mode]", "chat:generate_tokens")
    page.fill("[name=temperature]", "0.5")
    answer(page)
    assert shown.fake.calls[-1][0] in ("generate_tokens", "decode")
    assert shown.fake.generations[-1]["temperature"] == 0.5


@full
def test_history_and_its_end(page: Any) -> None:
    page.fill("#prompt", "first")
    answer(page)
    page.reload()
    page.wait_for_selector("#history li")
    page.click("#history button")
    assert page.input_value("#prompt") == "first"
    page.click("#forget")
    assert page.locator("#history li").count() == 0


@full
def test_stopping_a_stream(page: Any, shown: Running) -> None:
    shown.fake.held_after = 1
    page.fill("#prompt", "a long answer")
    page.click("#send")
    page.wait_for_selector(".token")
    page.click("#stop")
    page.wait_for_selector("#send:not([disabled])")
    assert page.locator(".answer .error").inner_text() == "stopped"


WORDS = 'it\'s\n"so": [true, null], é'


def copied(page: Any, language: str) -> str:
    """What the button copies."""
    page.fill("#prompt", WORDS)
    page.select_option("[name=language]", language)
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.click(".copy")
    return str(page.evaluate("window.copied"))


def calls(source: str) -> dict[str, tuple[list[Any], dict[str, Any]]]:
    """Calls of a Python text whose arguments are literals, by name."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            with suppress(ValueError):
                named = {one.arg: ast.literal_eval(one.value) for one in node.keywords}
                found[name] = ([ast.literal_eval(one) for one in node.args], named)
    return found


def disabled(page: Any) -> list[str]:
    query = "all => all.filter(one => one.disabled).map(one => one.value)"
    return list(page.locator("[name=language] option").evaluate_all(query))


@full
def test_copies_of_a_chat(page: Any) -> None:
    assert disabled(page) == ["python", "grpcurl"]  # the gateway renders the template
    curl = copied(page, "curl")
    body = json.loads(curl.split("-d '")[1].rsplit("'", 1)[0].replace("'\\''", "'"))
    page.fill("[name=temperature]", "0.5")
    page.fill("[name=top_k]", "4")
    _, given = calls(copied(page, "openai"))["client.chat.completions.create"]
    assert body["messages"] == given["messages"] == [{"role": "user", "content": WORDS}]
    assert (given["temperature"], given["logprobs"], given["extra_body"]) == (0.5, True, {"top_k": 4})


@full
def test_copies_for_a_server(page: Any) -> None:
    """Python of genserve's client says every option, grpcurl is there for a text alone."""
    page.select_option("[name=mode]", "completion")
    assert disabled(page) == ["grpcurl"]
    page.fill("[name=temperature]", "0.5")
    page.fill("[name=top_k]", "-1")
    found = calls(copied(page, "python"))
    assert found["client.encode"] == ([[WORDS]], {})
    assert found["Client"] == (["grpc://HOST:8500", "toy"], {})
    assert "client.generate_tokens([client.encode(" in page.evaluate("window.copied")
    assert page.evaluate("window.copied").endswith("max_new_tokens=16, temperature=0.5)[0].text)")
    page.fill("[name=stop]", "x")  # the gateway's own
    assert disabled(page) == ["python", "grpcurl"]
    assert page.input_value("[name=language]") == "curl"
    page.select_option("[name=mode]", "completion:serving_default")
    page.fill("[name=stop]", "")
    assert disabled(page) == []
    assert calls(copied(page, "python"))["client.generate"] == ([[WORDS]], {"signature": "serving_default"})
    request = json.loads(copied(page, "grpcurl").split("-d '")[1].rsplit("'", 1)[0])
    assert request["model_spec"] == {"name": "toy", "signature_name": "serving_default"}
    parsed = json_format.ParseDict(request, predict_pb2.PredictRequest())
    assert list(parsed.inputs["text"].string_val) == [WORDS.encode()]


@full
def test_a_phone_scrolls_one_way_alone(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.select_option("[name=mode]", "completion")
    page.fill("#prompt", "a rather long prompt that the history has to cut somewhere, " * 3)
    answer(page)
    page.check("#compare")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
