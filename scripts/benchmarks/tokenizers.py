"""Tokenizers: the compiled graph against the ``tokenizers`` library and KerasHub's in-graph tokenizer.

    python -m scripts.benchmarks.tokenizers [--directory bench] [--only gpt2,t5] [--again] [--report-only]

Every peer runs in a process of its own, with one thread, on the same texts. Results lie in
bench/results/tokenizers/TOKENIZER.PEER.json; ``rows`` reads them, ``speed_table`` and ``hostile_table`` write
them as Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.environments import python_of
from scripts.benchmarks.harness import RUNNERS, Settings, call
from scripts.benchmarks.made_tokenizers import MADE, make_tokenizer, package_text
from scripts.benchmarks.report import MISSING, table

#: Published tokenizers and texts (``scripts/fetch_test_data``); without the setting, small ones are trained.
TEST_DATA = Path(os.environ.get("GENSERVE_TEST_DATA") or "no-test-data")
_KILOBYTE = 1024
_BATCHES = 24  # of texts that were never seen, of each size
_SIZES = {"1 x 1 KB": 1, "8 x 1 KB": 8}


@dataclass(frozen=True)
class Subject:
    """A tokenizer: its folder of the test data, or its name in ``MADE``, and its pipeline in words."""

    folder: str
    pipeline: str


SUBJECTS = (
    Subject("gpt2", "byte-level BPE"),
    Subject("qwen3", "byte-level BPE, NFC"),
    Subject("mistral-nemo", "byte-level BPE, 1,000 added tokens"),
    Subject("gpt-oss", "byte-level BPE, 446,189 merges"),
    Subject("mistral-7b-v0.1", "SentencePiece BPE, whole texts"),
    Subject("mistral-7b-v0.3-instruct", "SentencePiece BPE, Metaspace"),
    Subject("t5", "SentencePiece Unigram"),
    Subject("barthez", "SentencePiece charsmap, BPE"),
    Subject("bert-base-uncased", "WordPiece"),
    Subject("opus-mt-en-mg", "Marian, Python only"),
)
#: Measured where no published tokenizers are at hand.
MADE_SUBJECTS = tuple(Subject(name, f"{pipeline}, trained here") for name, (pipeline, _) in MADE.items())


@dataclass(frozen=True)
class TokenizerPeer:
    """Who encodes.

    Attributes:
      environment: key of ``peers.ENVIRONMENTS``.
      runner: what its interpreter is given: a script, or ``-m`` and a module.
      needs: the file that a tokenizer must have.
      saved: whether the runner reads a SavedModel.
    """

    environment: str
    runner: tuple[str, ...]
    needs: str = ""
    saved: bool = False


def _script(name: str) -> str:
    return str(RUNNERS / f"tokenizer_{name}.py")


PEERS = {
    "genserve": TokenizerPeer("main", (_script("genserve"),), saved=True),
    "genserve in process": TokenizerPeer("main", ("-m", "scripts.benchmarks.tokenizer_in_process")),
    "tokenizers": TokenizerPeer("main", (_script("library"),), "tokenizer.json"),
    "keras-hub": TokenizerPeer("keras-hub", (_script("keras_hub"),), "merges.txt"),
}


@dataclass(frozen=True)
class Row:
    """One tokenizer on one peer.

    Attributes:
      cold, warm: size ("1 x 1 KB") -> milliseconds per KB, the median call; on texts never seen before, and
        on texts seen before.
      hostile: name of a long text -> seconds.
      load_seconds, first_seconds: reading it; the first call.
      resident_bytes: memory that loading and the first call took.
      table_bytes: variables and assets of the SavedModel; None for peers.
      versions: of the peer's packages.
    """

    tokenizer: str
    pipeline: str
    peer: str
    cold: dict[str, float]
    warm: dict[str, float]
    hostile: dict[str, float]
    load_seconds: float
    first_seconds: float
    resident_bytes: int
    table_bytes: int | None
    versions: dict[str, str]


def measure(
    root: Path,
    environments: Path = Path(),
    *,
    only: Sequence[str] = (),
    again: bool = False,
    settings: Settings = Settings(warmup=3, trials=48),  # noqa: B008  # frozen
) -> Iterator[Row]:
    """Measures what has no result yet, tokenizer by tokenizer; yields each row when it is there.

    Args:
      root: the benchmark directory.
      environments: holds the peers' ``.venv-bench-*``.
      only: tokenizers, all without any; those that the test data lacks are left out. Where it has none at
        all, small ones are trained.
      again: measures what has a result, too.
      settings: warm-up and trials; threads are always one.

    Raises:
      RunFailedError: a runner stopped with an error.
    """
    subjects = SUBJECTS if (TEST_DATA / "tokenizers").is_dir() else MADE_SUBJECTS
    with tempfile.TemporaryDirectory() as made:
        for subject, (name, peer) in itertools.product(subjects, PEERS.items()):
            if only and subject.folder not in only:
                continue
            path = _result_path(root, subject, name)
            if again or not path.exists():
                source = _source(subject, Path(made))
                if not (source / peer.needs).exists():
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                row = _measured(subject, source, name, environments, settings)
                path.write_text(json.dumps(asdict(row), indent=1) + "\n", encoding="utf-8")
            yield Row(**json.loads(path.read_text(encoding="utf-8")))


def rows(root: Path) -> list[Row]:
    """The results that there are, in the order of ``SUBJECTS``, ``MADE_SUBJECTS`` and ``PEERS``."""
    subjects = (*SUBJECTS, *MADE_SUBJECTS)
    paths = (_result_path(root, subject, peer) for subject in subjects for peer in PEERS)
    return [Row(**json.loads(path.read_text(encoding="utf-8"))) for path in paths if path.exists()]


def speed_table(found: Sequence[Row]) -> str:
    """Markdown: milliseconds per KB, cold / warm, and memory."""
    head = ["tokenizer", "pipeline", "peer", *(f"{size}, cold / warm" for size in _SIZES), "tables", "memory"]
    lines = [
        [
            row.tokenizer,
            row.pipeline,
            row.peer,
            *(f"{row.cold[size]:.2f} / {row.warm[size]:.2f} ms/KB" for size in _SIZES),
            MISSING if row.table_bytes is None else _megabytes(row.table_bytes),
            _megabytes(row.resident_bytes),
        ]
        for row in found
    ]
    return table([head, *lines])


def hostile_table(found: Sequence[Row]) -> str:
    """Markdown: seconds for one long text."""
    names = list(dict.fromkeys(name for row in found for name in row.hostile))
    lines = [
        [row.tokenizer, row.peer, *(f"{row.hostile[name]:.2f} s" for name in names)]
        for row in found
        if row.hostile
    ]
    return table([["tokenizer", "peer", *names], *lines])


def sample_text() -> str:
    """Botchan where the test data has it, else the sources of this package."""
    path = TEST_DATA / "corpora" / "botchan.txt"
    return path.read_text(encoding="utf-8") if path.exists() else package_text()


def hostile_texts() -> dict[str, str]:
    """Texts on which a careless tokenizer spends minutes."""
    return {
        "one word of 64 KB": "abcdefghijklmnop" * 4096,
        "1 MB of spaces": " " * 2**20,
        "100,000 line ends": "\n" * 100_000,
    }


def _source(subject: Subject, made: Path) -> Path:
    """Where a tokenizer's files lie; one of ``MADE`` is trained into ``made`` when it is first asked for."""
    if subject.folder not in MADE:
        return TEST_DATA / "tokenizers" / subject.folder
    directory = made / subject.folder
    return directory if directory.exists() else make_tokenizer(subject.folder, directory)


def _measured(subject: Subject, source: Path, name: str, environments: Path, settings: Settings) -> Row:
    peer = PEERS[name]
    with tempfile.TemporaryDirectory() as folder:
        artifact = _save(source, Path(folder) / "artifact") if peer.saved else None
        job = {
            "source": str(source),
            "artifact": str(artifact) if artifact else None,
            "batches": _batches(),
            "hostile": hostile_texts() if name != "keras-hub" else {},
            "warmup": settings.warmup,
            "trials": settings.trials,
        }
        answer = _run(python_of(peer.environment, environments), peer.runner, job, Path(folder))
        tables = _table_bytes(artifact) if artifact else None
    speeds = answer["speeds"]
    return Row(
        tokenizer=subject.folder,
        pipeline=subject.pipeline,
        peer=name,
        cold={size: _per_kilobyte(speeds[size]["cold"], rows) for size, rows in _SIZES.items()},
        warm={size: _per_kilobyte(speeds[size]["warm"], rows) for size, rows in _SIZES.items()},
        hostile={text: seconds for text, (seconds, count) in answer["hostile"].items() if count >= 0},
        table_bytes=tables,
        **{key: answer[key] for key in ("load_seconds", "first_seconds", "resident_bytes", "versions")},
    )


def _batches() -> dict[str, list[list[str]]]:
    """For every size batches of different texts of 1 KB."""
    data = sample_text().encode()
    pieces = iter(
        data[at : at + _KILOBYTE].decode(errors="ignore") for at in range(0, len(data) - _KILOBYTE, _KILOBYTE)
    )
    return {size: [[next(pieces) for _ in range(n)] for _ in range(_BATCHES)] for size, n in _SIZES.items()}


def _per_kilobyte(seconds: Sequence[float], rows: int) -> float:
    return 1000 * statistics.median(seconds) / rows


def _save(source: Path, artifact: Path) -> Path:
    """The tokenizer's SavedModel with an ``encode`` signature, written by a process of its own."""
    script = (
        "import sys, tensorflow as tf\n"
        "from exporter.tokenizer import build_tokenizer\n"
        "module = tf.Module()\n"
        "module.graph = build_tokenizer(sys.argv[1])\n"
        "def encode(text):\n"
        "    ids = module.graph.encode(text)\n"
        "    return {'input_ids': ids.to_tensor(), 'num_tokens': ids.row_lengths()}\n"
        "text = [tf.TensorSpec([None], tf.string, name='text')]\n"
        "encode = tf.function(encode, text, autograph=False)\n"
        "tf.saved_model.save(module, sys.argv[2], signatures={'encode': encode})\n"
    )
    call([sys.executable, "-c", script, str(source), str(artifact)], threads=1)
    return artifact


def _table_bytes(artifact: Path) -> int:
    files = itertools.chain((artifact / "variables").iterdir(), (artifact / "assets").glob("*"))
    return sum(file.stat().st_size for file in files)


def _run(python: Path, runner: Sequence[str], job: dict[str, Any], folder: Path) -> dict[str, Any]:
    asked, answered = folder / "job.json", folder / "result.json"
    asked.write_text(json.dumps(job))
    call([str(python), *runner, str(asked), str(answered)], threads=1)
    answer: dict[str, Any] = json.loads(answered.read_text())
    return answer


def _result_path(root: Path, subject: Subject, peer: str) -> Path:
    return root / "results" / "tokenizers" / f"{subject.folder}.{peer.replace(' ', '-')}.json"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, then prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.tokenizers", description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("bench"), help="holds the results")
    parser.add_argument("--environments", type=Path, default=Path(), help="where .venv-bench-* are made")
    parser.add_argument("--only", default="", help="tokenizers, joined by commas")
    parser.add_argument("--again", action="store_true", help="measure anew what has a result already")
    parser.add_argument("--report-only", action="store_true", help="measure nothing, print the tables")
    options = parser.parse_args(arguments)
    if not options.report_only:
        only = [name for name in options.only.split(",") if name]
        for row in measure(options.directory, options.environments, only=only, again=options.again):
            print(f"{row.tokenizer}, {row.peer}: {row.warm}", file=sys.stderr, flush=True)
    found = rows(options.directory)
    print(speed_table(found), hostile_table(found), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
