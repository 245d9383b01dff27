"""What a load test is made of, beside its endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.loadtest.endpoint import Row
from exporter.loadtest.load_report import EndpointFacts
from exporter.loadtest.loops import Load
from exporter.loadtest.prompt_lengths import PromptLengths


@dataclass(frozen=True)
class Goal:
    """Of a sweep: ``percentile`` of 100 requests within ``seconds``; found to a factor ``1 + precision``."""

    seconds: float
    percentile: float = 95.0
    precision: float = 0.1


@dataclass(frozen=True)
class Settings:
    """What a test is made of, beside its endpoint.

    Attributes:
      load: of a sweep the first step's.
      rows: of a file; None: prompts are made, as ``lengths`` says; None of both: as suits the endpoint.
      source: what the report calls the prompts.
      warmup: requests before the load that do not count.
      pages: of metrics: URL -> reads it, or raises ServingError.
      pages_must_be: whether the test fails without them.
    """

    load: Load
    facts: EndpointFacts
    rows: Sequence[Row] | None = None
    lengths: PromptLengths | None = None
    source: str = ""
    rows_per_request: int = 1
    warmup: int = 10
    timeout: float = 120.0
    goal: Goal | None = None
    pages: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    pages_must_be: bool = False
