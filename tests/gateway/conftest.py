"""A gateway over fakes, in a thread of its own, asked by the official client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest

from exporter.gateway.app import Gateway
from exporter.gateway.models import Models
from exporter.gateway.running import beside
from exporter.gateway.served_model import ServedModel
from exporter.gateway.settings import Settings
from tests.client.conftest import stub
from tests.gateway.fake import FakeModel, manifest

__all__ = ["Running", "running", "start", "stub", "until"]


class Running:
    """A gateway that listens: ``toy`` has every signature, ``plain`` text alone, ``whole`` no ``resume``."""

    def __init__(self, *, at_once: int = 64, **settings: Any) -> None:
        self.fake = FakeModel()
        self.models = {
            "toy": ServedModel(manifest(), self.fake),
            "whole": ServedModel(manifest(name="whole", without=("resume",), logprobs=None), self.fake),
            "plain": ServedModel(
                manifest(
                    name="plain",
                    without=("resume", "generate_tokens", "encode_segments"),
                    logprobs=None,
                    chat=None,
                ),
                self.fake,
            ),
        }
        self.gateway = Gateway(Models(self.models, rows_at_once=at_once), Settings(**settings))
        self._stack = ExitStack()
        self.url = self._stack.enter_context(beside(self.gateway, host="127.0.0.1", port=0))

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0)

    def stop(self) -> None:
        self._stack.close()


def until(condition: Callable[[], bool]) -> None:
    """Waits for it; while nothing listens it is not so."""
    end = time.monotonic() + 20
    while True:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    gateway = Running()
    yield gateway
    gateway.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Starts a gateway with settings of its own."""
    started: list[Running] = []

    def one(**settings: Any) -> Running:
        started.append(Running(**settings))
        return started[-1]

    yield one
    for gateway in started:
        gateway.stop()
