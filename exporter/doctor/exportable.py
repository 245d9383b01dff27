"""A checkpoint: whether it can be exported, through its inspection."""

from __future__ import annotations

from exporter.checkpoint import locate
from exporter.doctor.findings import Finding, failure
from exporter.errors import CheckpointError
from exporter.inspection import inspect_checkpoint


def checkpoint_findings(model: str) -> list[Finding]:
    """Of what ``genserve export`` would take."""
    try:
        located = locate(model)
        report = inspect_checkpoint(located.path, located.notes)
    except CheckpointError as error:
        return [failure("checkpoint", model, error)]
    notes = [Finding("checkpoint-note", "note", note) for note in report.notes]
    if report.supported:
        what = f"{model}: {report.model_type}, {report.parameters:,} parameters, can be exported"
        return [Finding("checkpoint", "good", what), *notes]
    found = Finding(
        "unsupported", "error", f"{model}: {report.reason}", "nothing exact can be exported from it"
    )
    return [found, *notes]
