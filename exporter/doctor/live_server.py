"""A live server: whether it answers, is ready, runs XLA, and was warmed up. Needs no TensorFlow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from exporter.client import Client
from exporter.client.answers import SignatureInfo, VersionStatus
from exporter.client.metrics_page import fetch
from exporter.doctor.findings import Finding, failure
from exporter.errors import ServingError
from serving_configs.server_files import METRICS_PATH

#: A first answer that took longer than this, and many times the second one's time, was compiled for.
_COMPILED_SECONDS, _TIMES = 1.0, 10.0
_ZEROS = {"string": "a", "float": 1.0, "bool": False}


def server_findings(client: Client, where: str) -> list[Finding]:
    """Asks for status, metadata and one answer, twice."""
    try:
        versions = client.status()
    except ServingError as error:
        return [failure("unreachable", f"{where} does not answer for this model", error)]
    found = [_state(version) for version in versions]
    if not any(version.state == "AVAILABLE" for version in versions):
        return found
    try:
        return [*found, *_probe(client, client.metadata())]
    except ServingError as error:
        return [*found, failure("no-answer", f"{where} fails a request of one row", error)]


def _state(version: VersionStatus) -> Finding:
    what = f"version {version.version} is {version.state}"
    if version.error_message:
        return failure("version-failed", what, ServingError(version.error_message))
    severity = "good" if version.state == "AVAILABLE" else "note"
    return Finding("version", severity, what)  # type: ignore[arg-type]


def _probe(client: Client, signatures: dict[str, SignatureInfo]) -> list[Finding]:
    name = next((name for name in ("serving_default", "tokens") if name in signatures), None)
    if name is None:
        return [Finding("signatures", "warning", "neither serving_default nor tokens: another tool's model")]
    inputs = {key: _value(key, info) for key, info in signatures[name].inputs.items()}
    seconds = []
    for _ in range(2):
        started = time.monotonic()
        client.predict(name, inputs)
        seconds.append(time.monotonic() - started)
    first, second = seconds
    found = [Finding("answers", "good", f"{name} answers, in {second:.3f} s: XLA is enabled")]
    if first > max(_COMPILED_SECONDS, _TIMES * second):
        what = f"the first answer took {first:.1f} s, the second {second:.3f} s"
        meaning = "the warmup did not run, or had none for this bucket"
        mend = "export with --warmup full, and start the server without --enable_model_warmup=false"
        found.append(Finding("not-warm", "warning", what, meaning, mend))
    return found


def _value(name: str, info: Any) -> list[Any]:
    """One row: a text, or as many ids as the signature wants."""
    value: Any = _ZEROS.get(info.dtype, 1)
    for size in reversed((info.shape or (None,))[1:]):
        value = [value] * (size or 1)
    return [value]


def metrics_page(address: str, token: str | None, ca: Path | None, timeout: float) -> str:
    """The server's metrics; raises ServingError where it shows none."""
    if not address.startswith("http"):
        raise ServingError("they are on the REST port: give --url")
    return fetch(address.rstrip("/") + METRICS_PATH, token, ca, timeout)
