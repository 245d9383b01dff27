"""Messages that users meet: recognised, and all in docs/troubleshooting.md."""

from __future__ import annotations

import re

import pytest

from exporter.client import RequestError
from exporter.doctor.findings import looked_up
from exporter.symptoms import SYMPTOMS, recognise
from tests.conftest import ROOT

#: The words of servers and libraries, with what stands around them.
SEEN = {
    "xla-disabled": "INTERNAL: XLA compilation disabled\n\t [[{{node StatefulPartitionedCall}}]]",
    "op-not-registered": "Op type not registered 'RegexSplitWithOffsets' in binary running on host-1. Make",
    "grpc-threads": "RESOURCE_EXHAUSTED: Server Threadpool Exhausted",
    "message-size": "CLIENT: Received message larger than max (5000012 vs. 4194304)",
    "batch-too-large": "Task size 9 is larger than maximum input batch size 8",
    "queue-full": "The batch scheduling queue to which this task was submitted is full; task size: 1",
    "rest-timeout": "Timed out waiting for notification",
    "certificate": "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer",
    "token": "missing or wrong bearer token",
    "tensorflow-server-older": "NodeDef mentions attr 'x' not in Op<name=Y>; (Check whether your "
    "GraphDef-interpreting binary is up to date with your GraphDef-generating binary.)",
}


def test_every_symptom_has_been_seen() -> None:
    assert set(SEEN) == {symptom.id for symptom in SYMPTOMS}


@pytest.mark.parametrize("id", SEEN)
def test_recognised(id: str) -> None:
    found = recognise(SEEN[id])
    assert found is not None
    assert found.id == looked_up(SEEN[id]).id == id
    error = RequestError("INTERNAL", SEEN[id])
    assert error.message == SEEN[id]
    assert found.mend in str(error)


@pytest.mark.parametrize(
    "message", ["", "error", "prompt of 99 tokens: allowed: 48", "deadline", "message 4194305"]
)
def test_not_recognised(message: str) -> None:
    assert recognise(message) is None
    assert looked_up(message).id == "unknown-message"
    assert str(RequestError("INTERNAL", message)) == f"INTERNAL: {message}"


def test_the_document_has_the_same_table() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    part = text.split("<!-- exporter/symptoms.py; a test compares -->")[1].split("\n## ")[0]
    rows = re.findall(r"(?m)^\| `([\w-]+)` \| `(.*?)` \| (.*?) \| (.*?) \|$", part)
    assert {(id, meaning, mend) for id, _, meaning, mend in rows} == {
        (symptom.id, symptom.meaning, symptom.mend) for symptom in SYMPTOMS
    }
    for id, message, _, _ in rows:
        found = recognise(message)
        assert found is not None
        assert found.id == id
