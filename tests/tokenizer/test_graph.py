"""Whole tokenizers of every pipeline kind: exact, batched as alone, and saved and reloaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorflow.core.protobuf import saved_model_pb2

from exporter.tokenizer import build_tokenizer
from exporter.tokenizer.parity import compare
from exporter.tokenizer.python_kinds import PythonKind
from exporter.tokenizer.reference import Reference, reference_of
from exporter.tokenizer.sources import read_source
from tests.tokenizer import trained, trained_python
from tests.tokenizer.searches import assert_batched_as_alone, assert_hypothesis_finds_nothing
from tests.tokenizer.served import Traced, save
from tests.tokenizer.support import assert_equal, corpus_lines, every_code_point, tensor, texts

Kind = tuple[Traced, Reference]


@pytest.fixture(scope="module", params=[*trained.KINDS, *trained_python.PYTHON_KINDS])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    """A tokenizer trained here, and its reference; both as a checkpoint's files are read."""
    write = trained.write if request.param in trained.KINDS else trained_python.write
    path = write(request.param, tmp_path_factory.mktemp("tokenizer"))
    return Traced(build_tokenizer(path)), reference_of(read_source(path))


def test_generated_strings(kind: Kind, full: bool) -> None:
    graph, reference = kind
    report = compare(graph, reference, texts(full, tokens=reference.tokens))
    assert report.mismatches == 0, str(report)


@pytest.mark.parity
def test_corpora(kind: Kind, test_data: Path, full: bool) -> None:
    graph, reference = kind
    report = compare(graph, reference, corpus_lines(test_data, full))
    assert report.mismatches == 0, str(report)


def test_every_code_point(kind: Kind, full: bool) -> None:
    graph, reference = kind
    for batch in every_code_point(full, one_in=40 if isinstance(graph.graph, PythonKind) else 1):
        assert_equal(batch, graph.encode(tensor(batch)).to_list(), reference.encode)


def test_batched_equals_one_by_one(kind: Kind) -> None:
    graph, reference = kind
    assert_batched_as_alone(graph, texts(False, seed=5, tokens=reference.tokens)[:200])


def test_hypothesis_finds_no_difference(kind: Kind, full: bool) -> None:
    assert_hypothesis_finds_nothing(*kind, examples=500 if full else 50)


_RELOAD = """
import json, sys
for name in ("exporter", "transformers", "tokenizers", "sentencepiece"):
    sys.modules[name] = None
import tensorflow as tf, tensorflow_text
for line in sys.stdin:
    directory, texts = json.loads(line)
    loaded = tf.saved_model.load(directory)
    encoded = loaded.signatures["encode"](text=tf.constant([text.encode() for text in texts], tf.string))
    decoded = loaded.signatures["decode"](**encoded)["text"].numpy()
    ids = [row[:n].tolist() for row, n in zip(encoded["input_ids"].numpy(), encoded["num_tokens"].numpy())]
    print(json.dumps([ids, [text.decode() for text in decoded]]), flush=True)
"""


@pytest.fixture(scope="module")
def reloaded() -> Iterator[Callable[[Path, list[str]], Any]]:
    """Asks a process with TensorFlow and tf.Text alone for the ids of texts, and the texts of these ids."""
    command = [sys.executable, "-c", _RELOAD]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(directory: Path, strings: list[str]) -> Any:
            print(json.dumps([str(directory), strings]), file=process.stdin, flush=True)
            line = process.stdout.readline()
            assert line, "the process ended; its stderr says why"
            return json.loads(line)

        yield ask


@pytest.mark.end_to_end
def test_saved_and_reloaded_without_us(
    kind: Kind, reloaded: Callable[[Path, list[str]], Any], tmp_path: Path
) -> None:
    graph, reference = kind
    save(graph.graph, tmp_path)
    strings = texts(False, seed=6, tokens=reference.tokens)[:300]
    ids, back = reloaded(tmp_path, strings)
    assert_equal(strings, ids, reference.encode)
    assert_equal(strings, back, lambda text: reference.decode(reference.encode(text)))
    _assert_small_and_independent(tmp_path)


# What would make the answer depend on the tables of the server's ICU or RE2, or grow with the requests.
_FORBIDDEN = {
    "CaseFoldUTF8", "NormalizeUTF8", "StringLower", "StringUpper", "UnicodeTranscode", "MutableHashTableV2",
    "LookupTableInsertV2", "PyFunc", "EagerPyFunc",
}  # fmt: skip


def _assert_small_and_independent(directory: Path) -> None:
    """Tables belong in assets and variables; classes are written out in patterns."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((directory / "saved_model.pb").read_bytes())
    definition: Any = model.meta_graphs[0].graph_def
    nodes = [
        *definition.node,
        *(node for function in definition.library.function for node in function.node_def),
    ]
    sizes = {node.name: node.attr["value"].tensor.ByteSize() for node in nodes if node.op == "Const"}
    # What the checkpoint says about its variables is the one constant that grows with their number.
    assert {name: size for name, size in sizes.items() if size > 8192} == {}
    assert not {node.op for node in nodes} & _FORBIDDEN
    patterns = [node.attr["pattern"].s.decode() for node in nodes if node.op.startswith("StaticRegex")]
    assert [pattern for pattern in patterns if re.search(r"\\[pPsSwWdDbB]|\(\?i|\[\[:", pattern)] == []
