"""Stub servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.stubs import GrpcStub, HttpStub


@pytest.fixture
def stub() -> Iterator[HttpStub]:
    running = HttpStub()
    yield running
    running.stop()


@pytest.fixture
def grpc_stub() -> Iterator[GrpcStub]:
    running = GrpcStub()
    yield running
    running.stop()
