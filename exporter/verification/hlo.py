"""The HLO text of a version's compiled programs: what XLA made of each in each bucket."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exporter.errors import OptionError, OutputError, VerificationError, did_you_mean
from exporter.manifest import Manifest, ProgramInfo
from exporter.verification.foreign_process import run_isolated

#: What XLA's dumps end with -> what ours are called; "cpu_" or the GPU's name stands before the second.
_STAGES: dict[str, Literal["before", "optimized"]] = {
    ".before_optimizations.txt": "before",
    "_after_optimizations.txt": "optimized",
}


@dataclass(frozen=True)
class HloFile:
    """One program in one bucket, before or after XLA's optimisations.

    Attributes:
      path: ``DIR/SIGNATURE-LENGTHxROWS.STAGE.hlo.txt``; with a number where a bucket has several modules.
      program: what it computes; ``signatures`` reach it.
    """

    path: Path
    program: str
    signatures: tuple[str, ...]
    prompt_length: int
    batch_size: int
    stage: Literal["before", "optimized"]


def write_hlo(version: Path, directory: Path, signatures: Sequence[str] = ()) -> list[HloFile]:
    """Writes the HLO of every program and bucket; of those that ``signatures`` reach, where some are given.

    The warmup's requests are run in a process of its own, on the devices that this one has, and XLA dumps
    what it compiles.

    Raises:
      OptionError: a signature without a program; a version without programs or warmup requests.
      OutputError: ``directory`` cannot be written.
      VerificationError: the version cannot be loaded or run.
    """
    manifest = Manifest.read(version)
    programs = _chosen(version, manifest, signatures)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".hlo-", dir=directory) as folder:
            dumped = _dumped(
                version, [manifest.programs.index(own) for own in programs.values()], Path(folder)
            )
            return list(_sorted(manifest, programs, dumped, directory))
    except OSError as error:
        raise OutputError(f"--hlo {directory} cannot be written: {error.strerror or error}") from None


def _chosen(version: Path, manifest: Manifest, signatures: Sequence[str]) -> dict[str, ProgramInfo]:
    """The signature that reaches each program -> the program."""
    if not manifest.programs:
        raise OptionError(
            f"--hlo: {version} names no compiled programs (a manifest of format 1): export it anew"
        )
    if not manifest.warmup.records:
        raise OptionError(
            f"--hlo: {version} was exported with --warmup none, and has no requests that reach its programs"
        )
    reached = {name: program for program in manifest.programs for name in program.signatures}
    for name in signatures:
        if name not in reached:
            hint = did_you_mean(name, list(reached))
            raise OptionError(f"--signature {name!r} runs no compiled program{hint}; {', '.join(reached)} do")
    wanted = [reached[name] for name in signatures or reached]
    return {program.signatures[0]: program for program in wanted}


def _dumped(version: Path, numbers: list[int], folder: Path) -> list[dict[str, Any]]:
    job = {"phases": ["load", "hlo"], "dump": str(folder.resolve()), "programs": numbers}
    flags = f"--xla_dump_to={job['dump']} --xla_dump_hlo_as_text"
    found = run_isolated(version, job, {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()})
    for phase in ("load", "hlo"):
        if error := found.error(phase):
            raise VerificationError(
                f"--hlo: {version} does not {'load' if phase == 'load' else 'run'}: {error}"
            )
    records: list[dict[str, Any]] = found.phases["hlo"]["found"]
    return records


def _sorted(
    manifest: Manifest, programs: dict[str, ProgramInfo], records: list[dict[str, Any]], directory: Path
) -> Iterator[HloFile]:
    """Moves the dumps to their names."""
    for name, program in programs.items():
        own = [record for record in records if record["program"] == manifest.programs.index(program)]
        if len(own) != program.compilations:
            raise VerificationError(f"--hlo: the warmup does not run {name} in every bucket: export it anew")
        for record in own:
            length, rows = record["prompt_tokens"], record["rows"]
            for suffix, stage in _STAGES.items():
                modules = [Path(file) for file in record["files"] if file.endswith(suffix)]
                for number, module in enumerate(modules):
                    more = f"-{number}" if number else ""
                    path = directory / f"{name}-{length}x{rows}{more}.{stage}.hlo.txt"
                    shutil.move(module, path)
                    yield HloFile(path, program.kind, program.signatures, length, rows, stage)
