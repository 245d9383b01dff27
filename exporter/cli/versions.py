"""``genserve versions``, ``promote``, ``rollback``, ``prune``: what there is and what is served."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporter.errors import ServingError

if TYPE_CHECKING:
    from exporter.rollout import Move, VersionFacts

_Model = Annotated[str, typer.Argument(help="A model of an export directory.", metavar="OUT/NAME")]
_Label = Annotated[str, typer.Option(help="The label: stable, canary, or another name.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Url = Annotated[
    str | None,
    typer.Option(help="REST endpoint of the running server: wait until it has loaded the version."),
]
_Timeout = Annotated[float, typer.Option(help="Seconds to wait for that.")]


def versions(
    path: Annotated[
        str, typer.Argument(help="An export directory, or a model of one.", metavar="OUT[/NAME]")
    ],
    as_json: _Json = False,
) -> None:
    """List the versions: created, source, size, labels, whether a server loads them, and verified answers."""
    from exporter.rollout import list_versions, locate

    with folder_of(path) as folder:
        facts = list_versions(*locate(folder))
    if as_json:
        print(json.dumps([asdict(fact) for fact in facts], indent=2, ensure_ascii=False))
    else:
        _print_table(facts)


def promote(
    path: _Model,
    version: Annotated[int, typer.Argument(help="The version's number.", metavar="VERSION")],
    label: _Label = "stable",
    url: _Url = None,
    timeout: _Timeout = 600.0,
    as_json: _Json = False,
) -> None:
    """Let a label name VERSION: models.config is written anew, and a server that watches it follows."""
    from exporter.rollout import promote

    _move(path, lambda output, name: promote(output, name, version, label), url, timeout, as_json)


def rollback(
    path: _Model,
    label: _Label = "stable",
    url: _Url = None,
    timeout: _Timeout = 600.0,
    as_json: _Json = False,
) -> None:
    """Let a label name again what it named before its last promotion."""
    from exporter.rollout import rollback

    _move(path, lambda output, name: rollback(output, name, label), url, timeout, as_json)


def prune(
    path: _Model,
    keep: Annotated[int, typer.Option(help="How many of the newest versions stay.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
    as_json: _Json = False,
) -> None:
    """Remove old versions, but none that has a label or that a server loads."""
    from rich.filesize import decimal

    from exporter.rollout import locate_model, prune

    with folder_of(path, write=not dry_run) as folder:
        removed = prune(*locate_model(folder), keep, dry_run=dry_run)
    if as_json:
        print(json.dumps([asdict(fact) for fact in removed], indent=2, ensure_ascii=False))
        return
    for fact in removed:
        verb = "would remove" if dry_run else "removed"
        print(f"{verb} {fact.name} version {fact.version} ({decimal(fact.bytes)})")
    if not removed:
        print("nothing to remove")


def pull(
    source: Annotated[str, typer.Argument(help="The URL of an export directory.", metavar="URL")],
    directory: Annotated[Path, typer.Argument(help="Where a server finds it.", metavar="DIR")],
) -> None:
    """Copy an export directory from an object store: versions that are missing, then the deployment files."""
    from exporter.publishing import remote

    copied = remote.pull(source, directory)
    for version in copied:
        print(directory / version)
    if not copied:
        print(f"{directory} has every version of {source}")


@contextmanager
def folder_of(path: str, *, write: bool = False) -> Iterator[Path]:
    """``OUT[/NAME]`` as a folder; of a URL, in a mirror that holds what the verbs read."""
    if "://" not in path:
        yield Path(path)
        return
    from exporter.publishing import remote

    url, name = remote.split(path)
    with remote.mirrored(url, write=write) as mirror:
        yield mirror / name


def _move(
    path: str, change: Callable[[Path, str], Move], url: str | None, timeout: float, as_json: bool
) -> None:
    """Makes the change; where the version must be loaded first and the server is known, waits for that."""
    from exporter.rollout import locate_model

    with folder_of(path, write=True) as folder:
        move = change(*locate_model(folder))
    if move.state == "loading" and url is not None and move.version is not None:
        _wait_until_loaded(url, move.name, move.version, timeout)
        with folder_of(path, write=True) as folder:
            move = change(*locate_model(folder))
    _print_move(move, as_json)


def _wait_until_loaded(url: str, name: str, version: int, timeout: float) -> None:
    """Returns when the server says AVAILABLE; raises ServingError if it cannot load it, or not in time."""
    from exporter.client.rest import RestClient

    client, deadline = RestClient(url, name, timeout=min(timeout, 30.0)), time.monotonic() + timeout
    state: dict[str, Any] = {}
    while time.monotonic() < deadline:
        states = {int(item["version"]): item for item in client.status()}
        state = states.get(version, {})
        if state.get("state") == "AVAILABLE":
            return
        if state.get("error_message"):
            break
        time.sleep(0.2)
    reason = state.get("error_message") or f"it is {state.get('state', 'not known')} after {timeout:g} s"
    raise ServingError(
        f"{url} has not loaded {name} version {version}: {reason}; the label stays where it was"
    )


def _print_move(move: Move, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(move), ensure_ascii=False))
        return
    before = f" (before: version {move.former})" if move.former is not None else ""
    print(
        {
            "moved": f"{move.name}: label {move.label!r} names version {move.version}{before}",
            "unchanged": f"{move.name}: label {move.label!r} names version {move.version} already",
            "removed": f"{move.name}: label {move.label!r} is removed{before}",
            "loading": f"{move.name}: version {move.version} is being loaded, label {move.label!r} stays at "
            f"version {move.former}: give the same command again once the server says AVAILABLE, or --url",
        }[move.state]
    )
    if move.state in ("moved", "removed"):
        seen = (
            f"within {move.poll_seconds} s"
            if move.poll_seconds
            else "when it starts again (poll_seconds is 0)"
        )
        print(f"a running server follows {seen}")


def _print_table(facts: list[VersionFacts]) -> None:
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    table = Table("model", "version", "created", "source", "size", "labels", "loaded", "verified", box=None)
    for fact in facts:
        table.add_row(
            fact.name,
            str(fact.version),
            fact.created,
            fact.source,
            decimal(fact.bytes),
            ", ".join(fact.labels) or "-",
            "yes" if fact.loaded else "no",
            f"{fact.verified} answers" if fact.verified else "no",
        )
    Console(highlight=False, soft_wrap=True).print(table)
