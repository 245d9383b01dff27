"""The figures of a report in words, for the terminal and the page."""

from __future__ import annotations

from exporter.loadtest.load_report import LoadReport, ServerSide, Spread, SweepFacts, SweepStep


def tell(seconds: float | None) -> str:
    """``0.0123`` -> "12.3 ms"."""
    if seconds is None:
        return "-"
    if seconds >= 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def step_latency(step: SweepStep, sweep: SweepFacts) -> str:
    """Of one that ended before its percentile was known, that it is beyond the goal."""
    return tell(step.latency) if step.latency is not None else f"over {tell(sweep.goal)}"


def spreads(report: LoadReport) -> list[tuple[str, Spread | None]]:
    """The spreads of a report by their names for people."""
    named = [
        ("latency", report.latency),
        ("latency from sending", report.latency_from_sending),
        ("sent late by", report.lateness if report.load.mode == "open" else None),
        ("time to first token", report.time_to_first_token),
        ("time per further token", report.time_per_token),
        ("between pieces", report.between_pieces),
    ]
    return [
        (name, spread)
        for name, spread in named
        if name != "latency from sending" or report.load.mode == "open"
    ]


def server_rows(side: ServerSide) -> list[tuple[str, str]]:
    """What a page of metrics told, for people."""
    rows = [
        ("requests", ", ".join(f"{status} {count}" for status, count in side.statuses.items())),
        ("a request, mean", tell(side.request_seconds)),
        ("of that waiting for a batch", tell(side.queueing_seconds)),
        ("of that computing", tell(side.computing_seconds)),
        ("to the first piece, mean", tell(side.first_piece_seconds)),
        ("batches", str(side.batches or "-")),
        (
            "rows of a batch, padding too",
            "-" if side.rows_per_batch is None else f"{side.rows_per_batch:.2f}",
        ),
        ("of that padding", "-" if side.padding_per_batch is None else f"{side.padding_per_batch:.2f}"),
        ("prompt tokens", "-" if side.prompt_tokens is None else f"{side.prompt_tokens:,}"),
        ("generated tokens", "-" if side.generated_tokens is None else f"{side.generated_tokens:,}"),
    ]
    return [row for row in rows if row[1] not in ("-", "")]
