"""What an export says of its tokenizer, and a text whose tokens the model does not have."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from exporter.exporting.pipeline import ExportResult, export
from exporter.options import make_options
from tests.reference import random_gpt2


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """A model of 320 rows; the settings add token 320, and take a prefix space that version 5 keeps away."""
    directory = tmp_path_factory.mktemp("notes")
    source = random_gpt2(directory / "checkpoint")
    file = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    file["pre_tokenizer"] |= {"add_prefix_space": True, "is_not_read": 1}
    (source / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "added_tokens_decoder": {"320": {"content": "<|past|>", "special": True}},
    }
    (source / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    options = {"prompt_lengths": [8], "batch_sizes": [4], "max_new_tokens": 4, "extra_signatures": []}
    return export(make_options({"model": str(source), "warmup": "none", **options}), directory / "out")


def test_differences_ignored_fields_and_ids_past_the_model_are_noted(exported: ExportResult) -> None:
    differing, ignored, past = exported.manifest.notes[-3:]  # behind those of the checkpoint
    assert "differ on" in differing
    assert differing.endswith("compiled: the published files")
    assert "pre_tokenizer.is_not_read" in ignored
    assert "ids up to 320, the model rows up to 319" in past


def test_the_references_are_recorded(exported: ExportResult) -> None:
    found = exported.manifest.tokenizer_reference
    assert found is not None
    assert (found.compiled, found.unreadable) == ("files", None)
    assert 0 < found.differing <= found.strings
    assert found.example is not None
    assert found.example.files != found.example.transformers
    assert exported.manifest.read(exported.directory) == exported.manifest


def test_a_text_with_a_token_past_the_model_is_that_row_s_error(exported: ExportResult) -> None:
    serve = tf.saved_model.load(str(exported.directory)).signatures["serving_default"]
    good = [b"the fox", b"and so on"]
    mixed = serve(text=tf.constant([good[0], b"the <|past|> fox", good[1]]))
    told = b"text: token 320 is not in the vocabulary; allowed: 0 to 319"
    assert mixed["error"].numpy().tolist() == [b"", told, b""]
    assert mixed["finish_reason"].numpy()[1] == b"error"
    assert mixed["generated_text"].numpy()[1] == b""
    alone = serve(text=tf.constant(good))["generated_text"].numpy().tolist()
    assert mixed["generated_text"].numpy()[[0, 2]].tolist() == alone
