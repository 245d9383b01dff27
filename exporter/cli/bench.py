"""``genserve bench``: a load test of a live endpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from exporter.cli.front import Ca, Grpc, OpenAi, Token, TokenFile, Url
from exporter.errors import OptionError, ServingError

if TYPE_CHECKING:
    from exporter.loadtest.endpoint import Endpoint
    from exporter.loadtest.load_report import EndpointFacts, LoadReport
    from exporter.loadtest.load_settings import Goal
    from exporter.loadtest.loops import Load

#: Where nothing is said: the requests of a load, and a sweep's first rate and the seconds of its steps.
_REQUESTS, _FIRST_RATE, _STEP_SECONDS, _STEP_GOALS = 200, 1.0, 10.0, 20.0


def bench(
    model: Annotated[str, typer.Option(help="Servable name.")],
    url: Url = None,
    grpc: Grpc = None,
    openai: OpenAi = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second, at random times (Poisson): an open loop.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Requests under way at a time: a closed loop.", min=1)
    ] = None,
    requests: Annotated[
        int | None, typer.Option(help=f"How many; default {_REQUESTS}, unless --duration is given.", min=1)
    ] = None,
    duration: Annotated[str | None, typer.Option(help="Until when they begin, such as 30s or 5m.")] = None,
    warmup: Annotated[int, typer.Option(help="Requests before that do not count.", min=0)] = 10,
    seed: Annotated[int, typer.Option(help="Of the times and of made prompts.", min=0)] = 0,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Find the highest rate within --latency-goal; --rate is the first."),
    ] = False,
    latency_goal: Annotated[str | None, typer.Option(help="Of --sweep, such as 500ms or 2s.")] = None,
    goal_percentile: Annotated[
        float, typer.Option(help="So many of 100 requests are to be within the goal.", min=1, max=100)
    ] = 95.0,
    goal_precision: Annotated[
        float, typer.Option(help="The sweep ends when it knows the rate to this part.", min=0.01, max=1)
    ] = 0.1,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A file with one prompt per line; .jsonl: objects with a prompt, and options of its row."
        ),
    ] = None,
    prompt_tokens: Annotated[
        str | None,
        typer.Option(
            help="Make prompts of so many tokens. Default: buckets, each as often, where they are known.",
            metavar="N|MIN-MAX|lognormal:MEDIAN:SIGMA|buckets",
        ),
    ] = None,
    rows_per_request: Annotated[int, typer.Option(help="Prompts in one request.", min=1)] = 1,
    signature: Annotated[
        str | None, typer.Option(help="Default: serving_default, with options generate.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="With --openai: chats instead of completions.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="With --openai: as events, with the time to the first token.")
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="A further input, or field of the body, KEY=VALUE; repeatable."),
    ] = None,
    version: Annotated[int | None, typer.Option(help="Version number.")] = None,
    label: Annotated[str | None, typer.Option(help="Version label.")] = None,
    manifest: Annotated[
        str | None,
        typer.Option(
            help="Of the version, for its buckets: its directory, or its genserve.json (a file or address).",
            metavar="OUT/NAME/VERSION",
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            help="A server's page of metrics; default: where --url or --openai has it.", metavar="URL"
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.", min=0.001)] = 120.0,
    token: Token = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write the report as one page that needs nothing else.", metavar="FILE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Load a live endpoint, and report what it answers in a second, how late, and why. Nothing is repeated.

    Exits 7 if no row was answered but by errors, or if no rate of a sweep is within the goal.
    """
    import asyncio

    from exporter.cli.bench_output import Progress
    from exporter.cli.manifests import read_manifest
    from exporter.cli.values import alone, assignments, seconds
    from exporter.client.address import read_token
    from exporter.loadtest.load_settings import Settings
    from exporter.loadtest.prompt_file import read_rows
    from exporter.loadtest.prompt_lengths import PromptLengths
    from exporter.loadtest.session import Session

    served = {"--signature": signature, "--version": version, "--label": label}
    alone("--openai", openai, {"--url": url, "--grpc": grpc, **served})
    alone("--version", version, {"--label": label})
    alone("--prompts", prompts, {"--prompt-tokens": prompt_tokens})
    if html is not None and not html.parent.is_dir():
        raise OptionError(f"--html {html}: there is no folder {html.parent}")
    if html is not None and html.is_dir():
        raise OptionError(f"--html {html}: is a folder; the name of a file is needed")
    goal = _goal(sweep, latency_goal, goal_percentile, goal_precision)
    until = seconds("--duration", duration) if duration else None
    load = _load(rate, concurrency, requests, until, seed, goal)
    rows = read_rows(prompts) if prompts is not None else None
    secret = read_token(token, token_file)
    known = read_manifest(manifest) if manifest is not None else None
    asked = _Asked(model, assignments("option", option) or {}, {"token": secret, "ca": ca, "manifest": known})
    if openai is not None:
        endpoint, facts = asked.openai(openai, chat, stream)
    else:
        place = _place(url, grpc, ca, {"--chat": chat, "--stream": stream})
        endpoint, facts = asked.served(place, signature or asked.signature(rows), version, label, timeout)
    settings = Settings(
        load=load,
        facts=facts,
        rows=rows,
        lengths=None if prompt_tokens is None else PromptLengths.parse(prompt_tokens),
        source=f"file {prompts}" if prompts is not None else f"made, tokens {prompt_tokens}",
        rows_per_request=rows_per_request,
        warmup=warmup,
        timeout=timeout,
        goal=goal,
        pages=_pages(metrics, facts, secret, ca, timeout),
        pages_must_be=bool(metrics),
    )
    with Progress() as progress:
        report = asyncio.run(Session(endpoint, settings, progress).run())
    _tell(report, html, as_json)


def _tell(report: LoadReport, html: Path | None, as_json: bool) -> None:
    """Writes and prints the report; exits as it says."""
    from exporter.cli.bench_output import print_report

    if html is not None:
        _write(html, report)
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        print_report(report)
    _exit(report)


def _exit(report: LoadReport) -> None:
    if report.interrupted:
        raise typer.Exit(130)
    if not report.rows_answered or (report.sweep is not None and report.sweep.rate is None):
        raise typer.Exit(ServingError.exit_code)


def _goal(sweep: bool, latency: str | None, percentile: float, precision: float) -> Goal | None:
    from exporter.cli.values import seconds
    from exporter.loadtest.load_settings import Goal

    if sweep != (latency is not None):
        raise OptionError("give --sweep and --latency-goal together")
    return Goal(seconds("--latency-goal", latency), percentile, precision) if latency is not None else None


def _load(
    rate: float | None,
    concurrency: int | None,
    requests: int | None,
    duration: float | None,
    seed: int,
    goal: Goal | None,
) -> Load:
    from exporter.loadtest.loops import Load

    if goal is None:
        if requests is None and duration is None:
            requests = _REQUESTS
        return Load(rate, concurrency, requests, duration, seed)
    if concurrency is not None:
        raise OptionError("--sweep: is of rates (an open loop), not of --concurrency")
    if requests is None and duration is None:
        duration = max(_STEP_SECONDS, _STEP_GOALS * goal.seconds)
    return Load(_FIRST_RATE if rate is None else rate, None, requests, duration, seed)


def _place(url: str | None, grpc: str | None, ca: Path | None, of_openai: dict[str, bool]) -> str:
    """The URL of TensorFlow Serving; ``of_openai`` are switches that it does not have."""
    from exporter.cli.values import endpoint

    if url is None and grpc is None:
        raise OptionError("give --url, --grpc or --openai")
    if given := [name for name, value in of_openai.items() if value]:
        raise OptionError(f"{given[0]}: only with --openai")
    return endpoint(url, grpc, ca)


@dataclass(frozen=True)
class _Asked:
    """What every kind of endpoint is asked.

    Attributes:
      options: inputs, or fields of the body, of every row.
      door: token, CA and manifest, by the names that endpoints have for them.
    """

    model: str
    options: dict[str, Any]
    door: dict[str, Any]

    def signature(self, rows: Sequence[Mapping[str, Any]] | None) -> str:
        """The one that takes the options, and those of the rows."""
        own = {key for row in rows or () for key in row} - {"prompt", "text"}
        return "generate" if self.options or own else "serving_default"

    def served(
        self, place: str, signature: str, version: int | None, label: str | None, timeout: float
    ) -> tuple[Endpoint, EndpointFacts]:
        from exporter.client.address import Model
        from exporter.loadtest.load_report import EndpointFacts
        from exporter.loadtest.predict_endpoint import PredictEndpoint

        asked = Model(self.model, version, label)
        endpoint = PredictEndpoint(place, asked, signature, self.options, timeout=timeout, **self.door)
        kind: Literal["rest", "grpc"] = "rest" if place.startswith("http") else "grpc"
        return endpoint, EndpointFacts(kind=kind, url=place, model=self.model, signature=signature)

    def openai(self, url: str, chat: bool, stream: bool) -> tuple[Endpoint, EndpointFacts]:
        from exporter.loadtest.load_report import EndpointFacts
        from exporter.loadtest.openai_endpoint import OpenAiEndpoint

        endpoint = OpenAiEndpoint(url, self.model, self.options, chat=chat, stream=stream, **self.door)
        path = "/v1/chat/completions" if chat else "/v1/completions"
        facts = EndpointFacts(kind="openai", url=url, model=self.model, path=path, streamed=stream)
        return endpoint, facts


def _pages(
    given: list[str] | None, facts: EndpointFacts, token: str | None, ca: Path | None, timeout: float
) -> dict[str, Callable[[], str]]:
    """What reads the pages of metrics. The token goes to the endpoint's own host alone."""
    from exporter.client.metrics_page import fetch
    from serving_configs.server_files import METRICS_PATH

    base = facts.url.rstrip("/")
    if given:
        urls = given
    elif facts.kind == "openai":
        urls = [base.removesuffix("/v1") + "/metrics"]
    else:
        urls = [base + METRICS_PATH] if facts.kind == "rest" else []
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise OptionError(f"--metrics {url}: must start with http:// or https://")
    own = urlsplit(base)[:2]
    return {
        url: partial(
            fetch,
            url,
            token if urlsplit(url)[:2] == own else None,
            ca if url.startswith("https://") else None,
            timeout,
        )
        for url in urls
    }


def _write(path: Path, report: LoadReport) -> None:
    from exporter import durable
    from exporter.loadtest.html_page import page

    try:
        durable.write_text(path, page(report))
    except OSError as error:
        raise OptionError(f"--html {path} cannot be written: {error}") from error
    print(f"report: {path}", file=sys.stderr)
