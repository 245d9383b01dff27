"""Post-processors against the ``tokenizers`` library."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tensorflow as tf
import tokenizers

from exporter.errors import TokenizerUnsupportedError
from exporter.tokenizer import nodes
from exporter.tokenizer.post_processors import build_post_processor
from tests.tokenizer.graphs import ROWS, graph

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
ROBERTA = {
    "type": "RobertaProcessing",
    "sep": ["</s>", 2],
    "cls": ["<s>", 0],
    "trim_offsets": True,
    "add_prefix_space": True,
}
BERT = {"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]}


def template(*single: str) -> dict[str, Any]:
    """A template of special tokens and ``A``; ``<two>`` stands for two ids."""
    ids = {"<s>": [1], "</s>": [2], "<two>": [7, 8]}
    pieces = [{"Sequence" if p in "AB" else "SpecialToken": {"id": p, "type_id": 0}} for p in single]
    pair = [{"Sequence": {"id": p, "type_id": 0}} for p in "AB"]
    special = {k: {"id": k, "ids": v, "tokens": [k] * len(v)} for k, v in ids.items()}
    return {"type": "TemplateProcessing", "single": pieces, "pair": pair, "special_tokens": special}


def sequence(*processors: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "processors": list(processors)}


def parse(processor: Any) -> nodes.TokenizerFile:
    return nodes.parse_tokenizer(file(processor))


def file(processor: Any) -> dict[str, Any]:
    vocab = {"x": 11, "y": 12, "z": 13}
    splitter = {"type": "WhitespaceSplit"}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "x"}
    return {
        "version": "1.0",
        "pre_tokenizer": splitter,
        "post_processor": processor,
        "model": model,
        "added_tokens": [],
    }


@pytest.mark.parametrize(
    "processor",
    [
        None,
        BYTE_LEVEL,
        ROBERTA,
        BERT,
        template("A"),
        template("<s>", "A"),
        template("A", "</s>"),
        template("<s>", "<two>", "A", "<two>", "</s>"),
        template("<s>", "A", "</s>", "A"),
        template("<s>"),
        sequence(BYTE_LEVEL, template("<s>", "A", "</s>")),
        sequence(template("<two>", "A"), BYTE_LEVEL),
        sequence(BERT, template("<s>", "A")),
        sequence(),
    ],
    ids=lambda processor: json.dumps(processor)[:60],
)
def test_equals_the_library(processor: Any) -> None:
    library = tokenizers.Tokenizer.from_str(json.dumps(file(processor)))
    texts = ["x y", "", "z", "y y x z"]
    bare = [[11, 12], [], [13], [12, 12, 11, 13]]
    function = graph(build_post_processor(parse(processor).post_processor), ROWS)
    ids = function(tf.ragged.constant(bare, tf.int32, row_splits_dtype=tf.int64))
    assert ids.to_list() == [library.encode(text).ids for text in texts]


@pytest.mark.parametrize(
    ("processor", "path"),
    [
        (template("<s>", "B"), "post_processor.single[1]"),
        (template("<s>", "A", "<none>"), "post_processor.single[2]"),
        (sequence(template("<s>", "A"), BERT), "post_processor.processors[1]"),
    ],
)
def test_refused(processor: Any, path: str) -> None:
    with pytest.raises(TokenizerUnsupportedError) as caught:
        build_post_processor(parse(processor).post_processor)
    assert caught.value.path == path
