"""Locust and ``genserve bench`` on one server of known service time: the same figures, but for noise."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter.loadtest.load_report import LoadReport
from tests.client.conftest import stub
from tests.client.stubs import Answer, HttpStub
from tests.conftest import ROOT
from tests.loadtest.test_endpoints import served

__all__ = ["stub"]

USERS, SECONDS, SERVICE = 4, 6, 0.05
_LOCUST_FILE = """\
from locust import HttpUser, constant, task

class Asker(HttpUser):
    wait_time = constant(0)

    @task
    def ask(self):
        body = {"signature_name": "serving_default", "inputs": {"text": ["a b"]}}
        self.client.post("/v1/models/stories:predict", json=body)
"""


def _locust() -> Path:
    """Of the environment that ``scripts/test --full`` makes for it."""
    program = ROOT / ".venv-locust" / "bin" / "locust"
    if not program.exists():
        pytest.skip("needs .venv-locust, which scripts/test --full makes")
    return program


def _run(command: list[str]) -> str:
    """Both in processes of their own: the server's is busy enough."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.full
def test_the_same_figures(stub: HttpStub, tmp_path: Path) -> None:
    locust = _locust()
    model = served(stub)

    def slowly(path: str, body: bytes) -> Answer:
        time.sleep(SERVICE if path.endswith(":predict") else 0)
        return model.http(path, body)

    stub.answer = slowly
    place = ["--url", stub.url, "--model", "stories", "--prompt-tokens", "2", "--json"]
    load = ["--concurrency", str(USERS), "--duration", f"{SECONDS}s"]
    ours = _run([sys.executable, "-m", "exporter", "bench", *place, *load])
    found = LoadReport.model_validate_json(ours)
    (tmp_path / "asker.py").write_text(_LOCUST_FILE)
    options = ["--headless", "-u", str(USERS), "-r", str(USERS), "-t", f"{SECONDS}s", "--json"]
    (theirs,) = json.loads(_run([str(locust), "-f", str(tmp_path / "asker.py"), "-H", stub.url, *options]))
    times = theirs["response_times"]  # milliseconds -> how many
    median = sorted(float(key) for key, count in times.items() for _ in range(count))[
        theirs["num_requests"] // 2
    ]
    assert found.latency is not None
    # Noise, of machines that do other work too; a wrong unit or place to measure is further off.
    assert found.latency.p50 == pytest.approx(median / 1e3, rel=0.4)
    assert found.throughput.requests_per_second == pytest.approx(theirs["num_requests"] / SECONDS, rel=0.4)
