"""The report of a load test, as ``genserve bench --json`` prints it (docs/bench.md). Seconds everywhere."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_Frozen):
    """Numbers, most often seconds, of ``count`` requests."""

    count: int
    mean: float
    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class EndpointFacts(_Frozen):
    """``signature`` is of REST and gRPC, ``path`` of OpenAI's API."""

    kind: Literal["rest", "grpc", "openai"]
    url: str
    model: str
    signature: str | None = None
    path: str | None = None
    streamed: bool = False


class LoadFacts(_Frozen):
    mode: Literal["open", "closed"]
    rate: float | None
    concurrency: int | None
    requests: int | None
    seconds: float | None
    seed: int
    warmup: int
    rows_per_request: int
    timeout: float


class PromptFacts(_Frozen):
    """``source``: the file, or the distribution; ``tokens`` of the rows, where they are known beforehand."""

    source: str
    rows: int
    tokens: Spread | None


class RequestCounts(_Frozen):
    """``with_row_errors`` are among the answered ones; the ``abandoned`` were under way at the end."""

    sent: int
    answered: int
    with_row_errors: int
    failed: int
    abandoned: int


class Throughput(_Frozen):
    """Of what was answered, over the seconds until the last answer; None: nobody counts those tokens."""

    requests_per_second: float
    rows_per_second: float
    prompt_tokens_per_second: float | None
    generated_tokens_per_second: float | None


class ErrorCount(_Frozen):
    """Errors of a kind: digits apart, messages are the same; ``message`` is the first one."""

    kind: Literal["request", "row"]
    code: str
    message: str
    count: int


class BucketFigures(_Frozen):
    """Requests whose longest row falls into a bucket; None: longer than every one, or not known."""

    bucket: int | None
    requests: int
    latency: Spread
    time_to_first_token: Spread | None
    generated_tokens: float | None


class ServerSide(_Frozen):
    """A page of metrics, after less before; means of a request or batch. None: the page does not tell."""

    url: str
    kind: Literal["tensorflow_serving", "gateway"]
    statuses: dict[str, int]
    request_seconds: float | None = None
    queueing_seconds: float | None = None
    computing_seconds: float | None = None
    first_piece_seconds: float | None = None
    batches: int | None = None
    rows_per_batch: float | None = None
    padding_per_batch: float | None = None
    prompt_tokens: int | None = None
    generated_tokens: int | None = None


class Slice(_Frozen):
    """Requests that were scheduled between two times."""

    begin: float
    end: float
    answered: int
    failed: int
    p50: float | None
    p95: float | None
    max: float | None


class SweepStep(_Frozen):
    """``latency`` at the goal's percentile, without requests ``with_row_errors``; None: too many failed."""

    rate: float
    requests: int
    failed: int
    with_row_errors: int = 0
    requests_per_second: float
    latency: float | None
    within_goal: bool
    ended_early: bool


class SweepFacts(_Frozen):
    """``rate`` is the highest within the goal (or None), ``bounded`` whether a higher one missed it."""

    goal: float
    percentile: float
    precision: float
    rate: float | None
    bounded: bool
    steps: tuple[SweepStep, ...]


class LoadReport(_Frozen):
    """Of a sweep the figures are those of the best step, or of the last where none was within the goal."""

    #: A key that goes, or changes its meaning, makes it one more.
    format: Literal[1] = 1
    genserve_version: str
    started: str
    interrupted: bool
    endpoint: EndpointFacts
    load: LoadFacts
    prompts: PromptFacts
    seconds: float
    requests: RequestCounts
    rows_answered: int
    rows_refused: int
    throughput: Throughput
    latency: Spread | None
    latency_from_sending: Spread | None
    lateness: Spread | None
    time_to_first_token: Spread | None
    time_per_token: Spread | None
    between_pieces: Spread | None
    latency_percentiles: tuple[float, ...]
    timeline: tuple[Slice, ...]
    errors: tuple[ErrorCount, ...]
    buckets: tuple[BucketFigures, ...]
    server: tuple[ServerSide, ...]
    sweep: SweepFacts | None
    notes: tuple[str, ...]
