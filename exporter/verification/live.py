"""Whether a live server answers as a version did when it was exported. Needs no TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter.client import Client
from exporter.client.answers import SignatureInfo
from exporter.errors import ServingError
from exporter.manifest import GoldenAnswer, Manifest
from exporter.manifest import SignatureInfo as Exported
from exporter.verification.agreement import Comparison, compare, summary, uncompared
from exporter.verification.checks import Check, Report, judged

#: The manifest's names of types -> those of TensorFlow's protocol buffers.
_DTYPES = {"float32": "float", "float64": "double", "float16": "half"}


def verify_server(directory: Path, client: Client, where: str) -> Report:
    """Asks a server for the golden answers of a version that lies here.

    Args:
      directory: the version's; its manifest alone is read.
      client: of the model and version.
      where: what reports call the server.

    Raises:
      FileNotFoundError, pydantic.ValidationError, OutputError: no manifest that can be read.
    """
    manifest = Manifest.read(directory)
    checks = [_available(client, manifest, where)]
    if checks[0].status != "failed":
        checks += [_signatures(client, manifest), _golden(client, manifest)]
    return Report(directory, tuple(checks), manifest)


def _available(client: Client, manifest: Manifest, where: str) -> Check:
    name = "available"
    try:
        versions = client.status()
    except ServingError as error:
        return Check(name, "failed", f"{where}: {error}")
    states = {version.version: version for version in versions}
    own = states.get(manifest.version)
    if own is None:
        there = ", ".join(map(str, sorted(states))) or "none"
        return Check(name, "failed", f"{where} has no version {manifest.version} of {manifest.name}: {there}")
    if own.state != "AVAILABLE":
        reason = f": {own.error_code} {own.error_message}" if own.error_message else ""
        return Check(name, "failed", f"version {manifest.version} is {own.state}{reason}")
    return Check(name, "passed", f"{manifest.name} version {manifest.version} at {where}")


def _signatures(client: Client, manifest: Manifest) -> Check:
    name = "signatures"
    try:
        served = client.metadata()
    except ServingError as error:
        return Check(name, "failed", str(error))
    problems = [f"{key} is not served" for key in manifest.signatures if key not in served]
    for key, exported in manifest.signatures.items():
        if key in served:
            problems += _differ(key, exported, served[key])
    return judged(name, problems, f"{len(manifest.signatures)}, as exported")


def _differ(name: str, exported: Exported, served: SignatureInfo) -> list[str]:
    problems = []
    for side in ("inputs", "outputs"):
        was = {key: _DTYPES.get(info.dtype, info.dtype) for key, info in getattr(exported, side).items()}
        now = {key: info.dtype for key, info in getattr(served, side).items()}
        if was != now:
            problems.append(f"{name}: {side} are {now}, were {was}")
    return problems


def _golden(client: Client, manifest: Manifest) -> Check:
    name = "golden answers"
    if not manifest.golden:
        return Check(name, "failed", "the manifest has none: nothing says what this version answers")
    compared = [_asked(client, golden) for golden in manifest.golden]
    problems = [problem for one in compared for problem in one.problems]
    return judged(name, problems or uncompared(compared), summary(compared))


def _asked(client: Client, golden: GoldenAnswer) -> Comparison:
    what = f"{golden.signature}({golden.inputs})"
    try:
        outputs = client.predict(golden.signature, golden.inputs)
    except ServingError as error:
        return Comparison((f"{what} fails: {error}",))
    found = compare(golden, {key: _plain(value.tolist()) for key, value in outputs.items()}, whole=False)
    return replace(found, problems=tuple(f"{what}: {text}" for text in found.problems))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
