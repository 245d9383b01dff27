"""A folder of exported versions: whether a server will find in it what it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

import serving_configs
from exporter.deployment import read_manifests, serving_options, stored_options
from exporter.doctor.findings import Finding
from exporter.errors import GenserveError
from exporter.manifest import MANIFEST_PATH, Manifest
from serving_configs.notes import deployment_notes

_WARMUP = "assets.extra/tf_serving_warmup_requests"
_OURS = {"serving", "xla-cache"}


def folder_findings(output: Path) -> list[Finding]:
    """Of ``OUT`` with ``OUT/NAME/VERSION``."""
    found = [
        finding
        for servable in sorted(output.iterdir())
        if servable.is_dir() and servable.name not in _OURS and not servable.name.startswith(".")
        for finding in _servable(servable)
    ]
    readable = not any(finding.severity == "error" for finding in found)
    if readable:
        found += _serving(output)
    return found


def _servable(servable: Path) -> Iterator[Finding]:
    for child in sorted(servable.iterdir()):
        if child.name.startswith((".staging-", ".reserved-")):
            yield Finding(
                "staging",
                "warning",
                f"{child} is what an export writes in",
                "one is running, or was killed",
                "nothing where one runs; else the next export to this name removes it",
            )
        elif child.name.isdecimal() and child.is_dir():
            yield from _version(child)


def _version(directory: Path) -> Iterator[Finding]:
    if not (directory / "saved_model.pb").is_file():
        yield Finding(
            "no-saved-model",
            "error",
            f"{directory} has no saved_model.pb",
            "a server tries to load every folder with a number for a name",
            f"remove {directory}, or export the version anew with --force",
        )
    elif not (directory / MANIFEST_PATH).is_file():
        yield Finding(
            "other-tool",
            "warning",
            f"{directory} has no manifest: another tool made it",
            "genserve writes no serving files for it, and a server that watches the folder may load it",
            "give it a folder of its own",
        )
    else:
        yield from _exported(directory)


def _exported(directory: Path) -> Iterator[Finding]:
    anew = f"export the version anew, with --force --version {directory.name}"
    try:
        manifest = Manifest.read(directory)
    except (OSError, ValidationError, GenserveError) as error:
        what = str(error).splitlines()[0]
        yield Finding("manifest", "error", what, "nothing can be said or written for this version", anew)
        return
    place = (directory.parent.name, directory.name)
    if (manifest.name, str(manifest.version)) != place:
        yield Finding(
            "moved",
            "error",
            f"{directory} holds the manifest of {manifest.name} version {manifest.version}",
            "serving files would name what is not there",
            f"move it back to {manifest.name}/{manifest.version}",
        )
    if not manifest.warmup.records:
        yield Finding(
            "no-warmup",
            "warning",
            f"{directory} was exported with --warmup none",
            "the first request of every bucket waits for XLA",
            anew + " and --warmup full",
        )
    elif not (directory / _WARMUP).is_file():
        yield Finding(
            "warmup-missing",
            "error",
            f"{directory / _WARMUP} is gone, though {manifest.warmup.records} records were written",
            "the first request of every bucket waits for XLA",
            anew,
        )
    if not manifest.golden:
        yield Finding(
            "no-golden",
            "warning",
            f"{directory} has no golden answers",
            "genserve verify cannot say what it should answer",
            anew,
        )


def _serving(output: Path) -> Iterator[Finding]:
    command = f"genserve config {output}"
    try:
        manifests = read_manifests(output)
        options = serving_options(stored_options(output), manifests)
        files = serving_configs.render(manifests, options)
    except GenserveError as error:
        yield Finding("serving-options", "error", str(error), "serving files cannot be written", command)
        return
    for note in deployment_notes(manifests, options):
        yield Finding(note.id, "note", note.what, note.meaning, note.mend)
    stale = [name for name, text in files.items() if _text(output / "serving" / name) != text]
    if stale:
        yield Finding(
            "stale-serving",
            "warning",
            f"{output / 'serving'}: {', '.join(sorted(stale))} would be written otherwise now",
            "a server would be started for other versions or with other settings",
            command,
        )
    else:
        names = ", ".join(sorted({manifest.name for manifest in manifests}))
        yield Finding("folder", "good", f"{output}: {len(manifests)} versions of {names}, serving files fit")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
