"""What a live server's metrics say: batches that are its versions' own, a warmup, no later compilations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from exporter.client.metrics_page import Page
from exporter.doctor.findings import Finding
from exporter.errors import ServingError
from exporter.manifest import Manifest, TensorInfo
from exporter.symptoms import SYMPTOMS

_SERVING, _CORE = ":tensorflow:serving:", ":tensorflow:core:"
#: What gRPC clients take in one message unless they are told otherwise.
_MESSAGE_BYTES = 4 * 2**20
#: TensorFlow Serving's own limit over REST is 30 s; what takes this long is near it.
_SLOW_MICROS = 20e6
_TEXT_BYTES_PER_TOKEN = 16
_ITEM_BYTES = {"int64": 8, "float64": 8, "bool": 1}
_CLIENTS = "raise concurrent_clients in the serving options, then genserve config OUT"
_MENDS = {
    "UNAVAILABLE": f"{_CLIENTS}; or more servers",
    "RESOURCE_EXHAUSTED": _CLIENTS,
    "DEADLINE_EXCEEDED": "genserve warm OUT measures a full batch and writes --rest_api_timeout_in_ms",
    "INVALID_ARGUMENT": "genserve inspect OUT prints a request that works for every signature",
    "NOT_FOUND": "genserve versions OUT lists the versions and labels",
    "INTERNAL": "the server's log has the message: genserve doctor --message 'TEXT'",
}


def metrics_findings(fetch: Callable[[], str], manifests: Sequence[Manifest]) -> list[Finding]:
    """Of a server that has answered already.

    Args:
      fetch: returns the page, or raises ServingError.
      manifests: of the versions that it serves; without them less can be said.
    """
    try:
        page = Page(fetch())
    except ServingError as error:
        return [
            Finding(
                "no-metrics",
                "note",
                f"no metrics: {str(error).splitlines()[0]}",
                "no batches, warmup, compilations or failed requests can be seen; no front passes metrics on",
                "start the server with --monitoring_config_file=OUT/serving/monitoring.config, as "
                "OUT/serving/run.sh does, and ask its own REST port",
            )
        ]
    found = [*_loads(page), *_warmup(page, manifests), *_compilations(page, manifests)]
    return [*found, *_batching(page, manifests), *_requests(page), *_slow(page)]


def _loads(page: Page) -> Iterator[Finding]:
    for (path, status), count in page.by(
        ":tensorflow:cc:saved_model:load_attempt_count", "model_path", "status"
    ).items():
        if status != "success":
            what = f"loading {path} failed {count} times"
            mend = f"the server's log says why; genserve verify {path} finds it without a server"
            yield Finding("load-failed", "warning", what, "that version is not served", mend)


def _warmup(page: Page, manifests: Sequence[Manifest]) -> Iterator[Finding]:
    done = page.by(f"{_SERVING}model_warmup_latency_count", "model_path", "status")
    if done:
        paths = ", ".join(sorted({path for path, status in done if status == "OK"}))
        yield Finding("warmed-up", "good", f"the warmup ran: {paths}")
    elif manifests and all(manifest.warmup.records for manifest in manifests):
        yield Finding(
            "warmup-not-run",
            "warning",
            "no warmup was replayed since the server started",
            "the first request of every bucket waits for XLA",
            "start the server without --enable_model_warmup=false, on folders with assets.extra",
        )


def _compilations(page: Page, manifests: Sequence[Manifest]) -> Iterator[Finding]:
    count = page.total(f"{_CORE}xla_compilations")
    if count is None:
        return
    seconds = (page.total(f"{_CORE}xla_compilation_time_usecs") or 0) / 1e6
    what = f"XLA compiled {count:.0f} times, in {seconds:.1f} s"
    needed = {
        (manifest.name, str(manifest.version)): sum(program.compilations for program in manifest.programs)
        for manifest in manifests
    }
    loaded = page.by(":tensorflow:cc:saved_model:load_attempt_count", "model_path", "status")
    places = {PurePosixPath(path).parts[-2:]: times for (path, status), times in loaded.items()}
    known = bool(places) and all(needed.get((place[0], place[-1]), 0) for place in places)
    expected = sum(needed[place[0], place[-1]] * times for place, times in places.items()) if known else 0
    if known and count > expected:
        yield Finding(
            "compiled-more",
            "warning",
            f"{what}; its versions need {expected}",
            "requests met shapes that the warmup had not: each waited for XLA",
            "export with --warmup full; requests to signatures that genserve did not export compile too",
        )
        return
    yield Finding("compilations", "good", f"{what}{f'; its versions need {expected}' if known else ''}")
    measured = [m.measured.compile_seconds for m in manifests if m.measured and m.measured.compile_seconds]
    if known and count and measured and seconds / count > min(measured):
        yield Finding(
            "cache-unused",
            "note",
            f"a compilation took {seconds / count:.1f} s, as without a cache",
            "every start compiles everything anew",
            "genserve warm OUT, then start the server with OUT/serving/run.sh",
        )


def _batching(page: Page, manifests: Sequence[Manifest]) -> Iterator[Finding]:
    session = f"{_SERVING}batching_session:"
    if not page.total(f"{session}queuing_latency_count"):
        yield Finding(
            "not-batching",
            "note",
            "the server merges no requests",
            "each runs alone; of any number of rows, in chunks of the largest batch",
            "genserve config OUT --batching, then start the server with OUT/serving/run.sh",
        )
        return
    executed = page.by(f"{session}padding_size_count", "execution_batch_size")
    sizes = sorted(int(size) for (size,) in executed if size.isdecimal())
    known = {size for manifest in manifests for size in manifest.buckets.batch_sizes}
    other = [size for size in sizes if size not in known]
    if manifests and other:
        yield Finding(
            "batch-sizes",
            "warning",
            f"the server ran batches of {', '.join(map(str, other))} rows; the versions have {sorted(known)}",
            "its allowed_batch_sizes are not the versions' batch sizes: rows are padded twice, and larger "
            "batches run in parts",
            "genserve config OUT, then start the server with its batching_params.pbtxt or batching.config",
        )
    else:
        yield Finding("batching", "good", f"the server merges requests; batches of {sizes} rows so far")


def _requests(page: Page) -> Iterator[Finding]:
    counted = page.by(f"{_SERVING}request_count", "status")
    for (status,), count in counted.items():
        if status != "OK":
            what = f"{count} of {counted.total()} requests failed as {status}"
            mend = _MENDS.get(status, "the server's log has the message")
            yield Finding("failed-requests", "warning", what, "clients got an error", mend)


def _slow(page: Page) -> Iterator[Finding]:
    micros = page.slowest(f"{_SERVING}request_latency", entrypoint="REST")
    if micros >= _SLOW_MICROS:
        yield Finding(
            "slow-requests",
            "warning",
            f"a request over REST took more than {micros / 1e6:.0f} s",
            "REST gives up after --rest_api_timeout_in_ms: 30 s, unless the server is told otherwise",
            _MENDS["DEADLINE_EXCEEDED"],
        )


def limit_findings(manifests: Sequence[Manifest]) -> Iterator[Finding]:
    """What clients of these versions must be set up for."""
    if not manifests:
        yield Finding(
            "no-versions",
            "note",
            "OUT is not given",
            "the server is not compared with the versions that it serves",
            "genserve doctor OUT --url ... --model NAME",
        )
        return
    rows = max(manifest.buckets.batch_sizes[-1] for manifest in manifests)
    size, name = max(
        (_answer_bytes(manifest, name), name) for manifest in manifests for name in manifest.signatures
    )
    what = f"a request takes at most {rows} rows; the largest answer, of {name}, has about {size:,} bytes"
    yield Finding("client-limits", "note", what)
    if size > _MESSAGE_BYTES:
        (known,) = (symptom for symptom in SYMPTOMS if symptom.id == "message-size")
        yield Finding(known.id, "warning", f"{name}: {size:,} bytes", known.meaning, known.mend)


def _answer_bytes(manifest: Manifest, signature: str) -> int:
    """Of a full batch."""
    outputs = manifest.signatures[signature].outputs.values()
    return manifest.buckets.batch_sizes[-1] * sum(_row_bytes(manifest, info) for info in outputs)


def _row_bytes(manifest: Manifest, info: TensorInfo) -> int:
    longest = manifest.buckets.prompt_lengths[-1] + manifest.max_new_tokens
    count = math.prod(longest if size is None else size for size in info.shape[1:])
    if info.dtype == "string":
        return count * manifest.max_new_tokens * _TEXT_BYTES_PER_TOKEN
    return count * _ITEM_BYTES.get(info.dtype, 4)
