"""What every whole tokenizer is put through besides ``verify.compare``: single rows, and hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.tokenizer import TokenizerGraph
from exporter.tokenizer.reference import Reference
from tests.tokenizer.support import assert_equal, tensor


def assert_batched_as_alone(graph: TokenizerGraph, strings: Sequence[str]) -> None:
    """Every string, and the ids of every string, give the same beside others as by themselves."""
    ids, texts = _there_and_back(graph, strings)
    assert [_there_and_back(graph, [text]) for text in strings] == [
        ([row], [text]) for row, text in zip(ids, texts, strict=True)
    ]
    assert _there_and_back(graph, []) == ([], [])


def assert_hypothesis_finds_nothing(graph: TokenizerGraph, reference: Reference, examples: int) -> None:
    """Lists of strings of any characters and of the tokenizer's own tokens: their ids, and the ids' texts."""
    words = st.one_of(
        st.text(max_size=8), st.sampled_from([" ", "  ", "\n", "the", "\u2581", *reference.tokens])
    )

    @settings(max_examples=examples, deadline=None)
    @given(st.lists(st.lists(words, max_size=5).map("".join), min_size=1, max_size=20))
    def check(strings: list[str]) -> None:
        strings = [text.encode("utf-8", "ignore").decode() for text in strings]
        ids, texts = _there_and_back(graph, strings)
        assert_equal(strings, ids, reference.encode)
        assert_equal(ids, texts, reference.decode)

    check()


def _there_and_back(graph: TokenizerGraph, strings: Sequence[str]) -> tuple[list[list[int]], list[str]]:
    ids = graph.encode(tensor(strings))
    texts = graph.decode(ids.to_tensor(), tf.cast(ids.row_lengths(), tf.int32)).numpy()
    return ids.to_list(), [text.decode("utf-8", "backslashreplace") for text in texts]
