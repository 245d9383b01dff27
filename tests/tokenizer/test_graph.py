"""Whole tokenizers of every pipeline kind: exact, batched as alone, and saved and reloaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from exporter.tokenizer import TokenizerGraph, build_tokenizer
from exporter.tokenizer.reference import Reference, reference_of
from exporter.tokenizer.sources import read_source
from exporter.tokenizer.verify import compare
from tests.tokenizer.graphs import assert_on_cpu
from tests.tokenizer.served import DECODE, save
from tests.tokenizer.support import assert_equal, corpus_lines, every_code_point, tensor, texts, traced
from tests.tokenizer.trained import KINDS, write


@pytest.fixture(scope="module", params=KINDS)
def kind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TokenizerGraph, Reference]:
    path = write(request.param, tmp_path_factory.mktemp("tokenizer"))
    return build_tokenizer(path), reference_of(read_source(path))


def test_generated_strings(kind: tuple[TokenizerGraph, Reference], full: bool) -> None:
    graph, reference = kind
    report = compare(graph, reference, texts(full, tokens=reference.tokens))
    assert report.mismatches == 0, str(report)


@pytest.mark.parity
def test_corpora(kind: tuple[TokenizerGraph, Reference], shared: Path, full: bool) -> None:
    graph, reference = kind
    report = compare(graph, reference, corpus_lines(shared, full))
    assert report.mismatches == 0, str(report)


def test_every_code_point(kind: tuple[TokenizerGraph, Reference], full: bool) -> None:
    graph, reference = kind
    encode = traced(graph.encode)
    for batch in every_code_point(full):
        assert_equal(batch, encode(tensor(batch)).to_list(), reference.encode)


def test_batched_equals_one_by_one(kind: tuple[TokenizerGraph, Reference]) -> None:
    graph, reference = kind
    encode = traced(graph.encode)
    strings = texts(False, seed=5, tokens=reference.tokens)[:200]
    alone = [encode(tensor([text])).to_list()[0] for text in strings]
    assert encode(tensor(strings)).to_list() == alone
    assert encode(tensor([])).to_list() == []


def test_hypothesis_finds_no_difference(kind: tuple[TokenizerGraph, Reference]) -> None:
    graph, reference = kind
    encode = traced(graph.encode)
    words = st.one_of(
        st.text(max_size=8), st.sampled_from([" ", "  ", "\n", "the", "\u2581", *reference.tokens])
    )

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.lists(words, max_size=5).map("".join), min_size=1, max_size=20))
    def check(strings: list[str]) -> None:
        strings = [text.encode("utf-8", "ignore").decode() for text in strings]
        assert_equal(strings, encode(tensor(strings)).to_list(), reference.encode)

    check()


def test_decode_is_on_the_cpu_and_takes_no_rows(kind: tuple[TokenizerGraph, Reference]) -> None:
    graph, _ = kind
    decode = tf.function(graph.decode, DECODE, autograph=False).get_concrete_function()
    assert_on_cpu(decode)
    assert decode(tf.zeros([0, 3], tf.int32), tf.zeros([0], tf.int32)).numpy().tolist() == []


_RELOAD = """
import json, sys
for name in ("exporter", "transformers", "tokenizers", "sentencepiece"):
    sys.modules[name] = None
import tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load(sys.argv[1])
texts = [text.encode() for text in json.loads(sys.stdin.read())]
encoded = loaded.signatures["encode"](text=tf.constant(texts, tf.string))
decoded = loaded.signatures["decode"](**encoded)["text"].numpy()
ids = [row[:n].tolist() for row, n in zip(encoded["input_ids"].numpy(), encoded["num_tokens"].numpy())]
print(json.dumps([ids, [text.decode() for text in decoded]]))
"""


@pytest.mark.end_to_end
def test_saved_and_reloaded_without_us(kind: tuple[TokenizerGraph, Reference], tmp_path: Path) -> None:
    graph, reference = kind
    save(graph, tmp_path)
    strings = texts(False, seed=6, tokens=reference.tokens)[:300]
    result = subprocess.run(
        [sys.executable, "-c", _RELOAD, str(tmp_path)],
        input=json.dumps(strings),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    ids, back = json.loads(result.stdout.splitlines()[-1])
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
    # The names of the checkpoint's variables are the one list of any length.
    assert {name: size for name, size in sizes.items() if size > 4096} == {}
    assert not {node.op for node in nodes} & _FORBIDDEN
    patterns = [node.attr["pattern"].s.decode() for node in nodes if node.op.startswith("StaticRegex")]
    assert [pattern for pattern in patterns if re.search(r"\\[pPsSwWdDbB]|\(\?i|\[\[:", pattern)] == []
