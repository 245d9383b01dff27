"""What was checked of a version, and what was found: data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from exporter.errors import VerificationError, raise_all
from exporter.manifest import Manifest

#: Problems of one check that are named; the rest is counted.
_NAMED = 5
Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One check: its name, how it went, and what was found, in a sentence."""

    name: str
    status: Status
    detail: str


def judged(name: str, problems: list[str], passed: str) -> Check:
    """Failed with its problems, or passed."""
    if not problems:
        return Check(name, "passed", passed)
    rest = len(problems) - _NAMED
    more = [f"and {rest} more"] if rest > 0 else []
    return Check(name, "failed", "; ".join([*problems[:_NAMED], *more]))


@dataclass(frozen=True)
class Report:
    """All checks of a version."""

    directory: Path
    checks: tuple[Check, ...]
    manifest: Manifest

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.status == "failed")

    @property
    def golden_answers(self) -> int:
        return len(self.manifest.golden)

    def check(self) -> None:
        """Raises VerificationError where something failed."""
        problems = [f"{check.name}: {check.detail}" for check in self.failed]
        raise_all(VerificationError, f"{self.directory} is not as it was exported:", problems)

    def as_json(self) -> dict[str, Any]:
        """The keys are those of docs/command-line.md."""
        prefix = self.manifest.prefix
        return {
            "version_directory": str(self.directory),
            "verified": not self.failed,
            "golden_answers": self.golden_answers,
            "prefix": prefix and prefix.model_dump(mode="json"),
            "checks": [vars(check) for check in self.checks],
        }
