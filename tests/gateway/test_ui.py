"""What the page is made of: its files and headers, and the facts about models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Running


@pytest.fixture(scope="module")
def shown() -> Iterator[Running]:
    gateway = Running(ui=True)
    yield gateway
    gateway.stop()


def test_headers_allow_nothing_from_elsewhere(shown: Running) -> None:
    for path in ("/", "/ui/page.css", "/ui/page.js"):
        found = httpx.get(shown.url + path)
        policy = found.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http://" not in found.text.replace("http://www.w3.org", "")
        assert "https://" not in found.text
    assert httpx.get(shown.url + "/ui/other.py").status_code == 404


def test_no_page_unless_asked_for(running: Running) -> None:
    assert httpx.get(running.url + "/").status_code == 404


def test_facts_are_the_exports(shown: Running) -> None:
    toy, whole, plain = httpx.get(shown.url + "/ui/models").json()
    assert (toy["streams"], toy["logprobs"], toy["max_new_tokens"]) == (True, 2, 200)
    assert (whole["streams"], plain["options"]) == (False, [])
    options = {option["name"]: option for option in toy["options"]}
    assert options["top_p"] == {
        "name": "top_p",
        "neutral": 1,
        "exported": 1,
        "integer": False,
        "min": 0,
        "max": 1,
    }
    assert options["top_k"]["integer"] is True


def test_ways_to_ask_are_the_signatures_that_answer_with_text(shown: Running) -> None:
    toy, whole, plain = httpx.get(shown.url + "/ui/models").json()

    def names(model: dict[str, Any]) -> list[tuple[str, str | None]]:
        return [(one["mode"], one["signature"]) for one in model["modes"]]

    ids = ["generate_tokens", "resume"]
    chats: list[str | None] = [None, *ids]
    completions = [None, "serving_default", *ids]
    assert names(toy) == [("chat", one) for one in chats] + [("completion", one) for one in completions]
    assert names(plain) == [("completion", None), ("completion", "serving_default")]
    chosen = {(one["mode"], one["signature"]): one for one in toy["modes"] + whole["modes"]}
    assert chosen["completion", "serving_default"]["takes"] == []
    assert chosen["completion", "serving_default"]["logprobs"] is False
    assert "max_new_tokens" in chosen["completion", "resume"]["takes"]
