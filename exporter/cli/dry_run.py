"""What ``genserve export --dry-run`` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.exporting.plan import Plan


def print_plans(plans: Sequence[Plan], *, as_json: bool, url: str | None = None) -> None:
    """The plans as tables, or as one JSON list of ``Plan.report``; ``url``: where they are uploaded to."""
    if as_json:
        print(json.dumps([_report(plan, url) for plan in plans], indent=2, ensure_ascii=False))
        return
    for plan in plans:
        _print_plan(plan, _report(plan, url))


def _report(plan: Plan, url: str | None) -> dict[str, Any]:
    place = {"version_directory": f"{url}/{plan.servable.name}/{plan.version}"} if url else {}
    return plan.report() | place


def _guides(guides: dict[str, str]) -> dict[str, str]:
    """A line where rows choose from guides; their tables are made from the vocabulary, at export."""
    listed = [f"{name} ({kind})" for name, kind in guides.items()]
    return {"guides": ", ".join(listed)} if listed else {}


def _print_plan(plan: Plan, report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for label, fact in {
        "plan": f"{report['model']} -> {report['version_directory']} (nothing is written)",
        "model": f"{report['model_type']}, {report['parameters']:,} parameters in {report['dtype']}: "
        f"{decimal(report['weights_bytes'])}",
        "signatures": ", ".join(report["signatures"]),
        "new tokens": f"at most {report['max_new_tokens']}",
        "compilations": f"{report['compilations']}: "
        + ", ".join(f"{count} of {name}" for name, count in report["programs"].items()),
        **_guides(report["guides"]),
        "warmup": f"{report['warmup_records']} records",
    }.items():
        facts.add_row(label, fact)
    console.print(facts)
    for note in plan.notes:
        console.print(f"note: {note}", markup=False)
    console.print("keys and values by bucket")
    buckets = Table("prompt length", *(f"batch {rows}" for rows in report["batch_sizes"]), box=None)
    for length in plan.lengths:
        sizes = [decimal(plan.cache_bytes(length, rows)) for rows in report["batch_sizes"]]
        buckets.add_row(str(length), *sizes)
    console.print(buckets)
