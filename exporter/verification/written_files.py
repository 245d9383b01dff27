"""Whether a version's files are those that were written. Needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from exporter.file_hashes import REWRITTEN, file_info, names_of
from exporter.manifest import FileInfo, Manifest
from exporter.verification.checks import Check, judged

#: Without them a server loads nothing, or something else, whatever a manifest of format 1 cannot say.
_NEEDED = ("saved_model.pb", "variables/variables.index")


def file_checks(directory: Path, manifest: Manifest) -> tuple[Check, ...]:
    """Whether files are missing, changed or not the export's; and whether the folder is this version's."""
    return (_place(directory, manifest), _files(directory, manifest))


def _place(directory: Path, manifest: Manifest) -> Check:
    whole = directory.resolve()
    there, said = (whole.parent.name, whole.name), (manifest.name, str(manifest.version))
    problems = []
    if there != said:
        problems.append(f"the manifest is that of {'/'.join(said)}, the folder is {'/'.join(there)}")
    return judged("place", problems, "/".join(said))


def _files(directory: Path, manifest: Manifest) -> Check:
    names = set(names_of(directory)) - REWRITTEN
    if not manifest.files:
        missing = [f"{name} is missing" for name in _NEEDED if name not in names]
        if missing:
            return judged("files", missing, "")
        return Check("files", "skipped", "a manifest of format 1 has no hashes; export the version anew")
    known = {info.path for info in manifest.files}
    problems = [f"{name} is no file of the export" for name in sorted(names - known)]
    for info in manifest.files:
        problems += _differs(directory, info) if info.path in names else [f"{info.path} is missing"]
    size = sum(info.bytes for info in manifest.files)
    return judged("files", problems, f"{len(known)} files, {size:,} bytes, all as written")


def _differs(directory: Path, info: FileInfo) -> list[str]:
    try:
        found = file_info(directory, info.path)
    except OSError as error:
        return [f"{info.path} cannot be read: {error.strerror}"]
    if found == info:
        return []
    sizes = "" if found.bytes == info.bytes else f", {info.bytes:,} bytes then, {found.bytes:,} now"
    return [f"{info.path} was changed{sizes}"]
