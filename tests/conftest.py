"""Shared fixtures: tiers, the network block, and the optional real-world test data."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Published tokenizers and texts, laid out by ``scripts/fetch_test_data``; None without the setting.
TEST_DATA = Path(os.environ["GENSERVE_TEST_DATA"]) if os.environ.get("GENSERVE_TEST_DATA") else None
_HOW_TO_GET_IT = "needs published tokenizers: scripts/fetch_test_data DIR, then GENSERVE_TEST_DATA=DIR"
#: The longest files of each run of ``scripts/test``, which begin first: begun last, one would keep a process
#: busy while the other has nothing left to do.
FIRST = (
    "end_to_end/test_tour.py",
    "end_to_end/test_prefix.py",
    "end_to_end/test_servers.py",
    "end_to_end/test_verify.py",
    "end_to_end/test_compilations.py",
    "end_to_end/test_split_by_length.py",
    "end_to_end/test_seed_examples.py",
    "end_to_end/test_translate.py",
    "prompts/test_export.py",
    "generation/test_processors.py",
    "generation/test_beam.py",
    "model/test_baked_prefix.py",
    "generation/test_models.py",
    "generation/test_exported.py",
    "tokenizer/test_pre_tokenizers.py",
    "tokenizer/test_graph.py",
    "tokenizer/test_real_tokenizers.py",
    "exporting/test_manifest.py",
    "packaging/test_wheel.py",
    "benchmarks/test_cold_start.py",
    "exporting/test_what_files_choose.py",
    "preview/test_fill_cache.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long tests too, with long fuzzing")
    parser.addoption("--load", action="store_true", help="run the tests that load a server for minutes")
    parser.addoption("--kit", action="store_true", help="run the tests that run the GPU kit under JAX")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order = {ROOT / "tests" / name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    for item in items:
        if "test_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.test_data)
    for tier, markers in (("full", ("full", "benchmark")), ("load", ("load",)), ("kit", ("kit",))):
        if config.getoption(f"--{tier}"):
            continue
        skip = pytest.mark.skip(reason=f"{tier} tier: run with --{tier}")
        for item in items:
            if any(item.get_closest_marker(marker) for marker in markers):
                item.add_marker(skip)


def pytest_collection_finish() -> None:
    """What has been imported and collected stays: no later collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether this is the full run: tests scale their example counts by it."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder that GENSERVE_TEST_DATA names; its tests skip visibly where the setting is missing.

    A setting that names no such folder is a mistake, not a reason to skip.
    """
    if TEST_DATA is None:
        pytest.skip(_HOW_TO_GET_IT)
    assert (TEST_DATA / "tokenizers").is_dir(), f"GENSERVE_TEST_DATA={TEST_DATA} holds no tokenizers"
    return TEST_DATA


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses every connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "unix"
        if host not in {"127.0.0.1", "::1", "localhost", "unix"}:
            raise RuntimeError(f"network access is blocked in tests: {address!r}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
