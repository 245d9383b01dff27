"""``genserve doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporter.cli.front import Ca, Timeout, TokenFile
from exporter.cli.values import endpoint
from exporter.errors import GenserveError, OptionError

if TYPE_CHECKING:
    from exporter.doctor import Finding
    from exporter.manifest import Manifest


def doctor(
    target: Annotated[
        str | None, typer.Argument(help="A checkpoint (as for export), or OUT.", metavar="TARGET")
    ] = None,
    url: Annotated[str | None, typer.Option(help="A server: http://localhost:8501, grpc://..., ...")] = None,
    grpc: Annotated[
        str | None, typer.Option(help="A gRPC server; with --ca over TLS.", metavar="HOST:PORT")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model to ask the server for.")] = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    timeout: Timeout = 60.0,
    message: Annotated[
        str | None, typer.Option(help="Say what this message of a server or client means.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look for what is wrong with this installation, a checkpoint, a folder of versions or a server, and say
    what mends it; exits 1 if something cannot work."""
    from exporter.doctor.environment import environment_findings
    from exporter.doctor.findings import looked_up

    found: list[Finding] = []
    if message is not None:
        found.append(looked_up(message))
    else:
        found += environment_findings()
    if target is not None:
        found += _target(target)
    if url is not None or grpc is not None:
        found += _server(endpoint(url, grpc, ca), model, token_file, ca, timeout, target)
    _print(found, as_json=as_json)
    if message is None and any(finding.severity == "error" for finding in found):
        raise typer.Exit(GenserveError.exit_code)


def _target(target: str) -> list[Finding]:
    path = Path(target)
    if path.is_dir() and not (path / "config.json").exists():
        from exporter.doctor.folder import folder_findings

        return folder_findings(path)
    from exporter.doctor.exportable import checkpoint_findings

    return checkpoint_findings(target)


def _server(
    address: str,
    model: str | None,
    token_file: Path | None,
    ca: Path | None,
    timeout: float,
    target: str | None,
) -> list[Finding]:
    if model is None:
        raise OptionError("--model is needed: which model the server is asked for")
    from exporter.client import Client
    from exporter.client.address import read_token
    from exporter.doctor.live_metrics import limit_findings, metrics_findings
    from exporter.doctor.live_server import metrics_page, server_findings

    token, manifests = read_token(None, token_file), _manifests(target)
    with Client(address, model, token=token, ca=ca, timeout=timeout, retries=0) as client:
        found = server_findings(client, address)
    if any(finding.id == "unreachable" for finding in found):
        return found
    own = [manifest for manifest in manifests if manifest.name == model]
    found += metrics_findings(lambda: metrics_page(address, token, ca, timeout), manifests)
    return [*found, *limit_findings(own)]


def _manifests(target: str | None) -> list[Manifest]:
    """Of the versions in OUT; none where it is no such folder, or has its own findings."""
    from exporter.deployment import read_manifests

    try:
        return read_manifests(Path(target)) if target is not None else []
    except GenserveError:
        return []


def _print(found: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"findings": [asdict(finding) for finding in found]}, ensure_ascii=False))
        return
    for finding in found:
        print(f"{finding.severity:<8}{finding.what}")
        for label, text in (("", finding.meaning), ("mend: ", finding.mend)):
            if text:
                print(f"{'':<8}{label}{text}")
