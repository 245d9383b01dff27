"""From a preset's directory, and from a task in memory, to served texts: those of KerasHub's ``generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import exporter
from tests.checkpoint.keras_hub.cases import Case, build
from tests.checkpoint.keras_hub.vocabulary import byte_level

keras_hub = pytest.importorskip("keras_hub", reason="the extra keras-hub is not installed")
pytestmark = pytest.mark.end_to_end

#: Of one length in tokens, so that KerasHub compiles one program for both.
PROMPTS = ("hello world", "the mat")
NEW = 12


@pytest.fixture(scope="module")
def task() -> Any:
    """A GPT-2 that generates greedily."""
    vocabulary, merges = byte_level(["<|endoftext|>"])
    tokenizer = keras_hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=merges)
    sizes = {"vocabulary_size": len(vocabulary), "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
    backbone = build(Case("gpt2", "GPT2Backbone", {**sizes, "num_heads": 2, "max_sequence_length": 64}))
    preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=48)
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=preprocessor)
    model.compile(sampler="greedy")
    return model


def _answers(model: Any, output: Path, **options: Any) -> list[str]:
    """What the exported model answers to PROMPTS."""
    sizes = {
        "prompt_lengths": [24],
        "batch_sizes": [2],
        "extra_signatures": [],
        "warmup": "none",
        "verify": "none",
    }
    result = exporter.export(model, output, **sizes, **options)
    serve = tf.saved_model.load(str(result.directory)).signatures["serving_default"]
    answers = serve(text=tf.constant(PROMPTS))["generated_text"].numpy()
    return [answer.decode() for answer in answers]


def test_a_preset_answers_as_keras_hub_generates(task: Any, tmp_path: Path) -> None:
    task.save_to_preset(str(tmp_path / "preset"))
    answers = _answers(tmp_path / "preset", tmp_path / "models", max_new_tokens=NEW, echo=True)
    # KerasHub counts the start token and the prompt.
    lengths = {1 + len(task.preprocessor.tokenizer(prompt)) + NEW for prompt in PROMPTS}
    assert answers == task.generate(list(PROMPTS), max_length=lengths.pop())
    assert not lengths


@pytest.mark.full
def test_an_encoder_decoder_in_memory_answers_as_keras_hub_generates(tmp_path: Path) -> None:
    vocabulary, merges = byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], first=True)
    tokenizer = keras_hub.models.BartTokenizer(vocabulary=vocabulary, merges=merges)
    sizes = {"vocabulary_size": len(vocabulary), "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
    backbone = build(Case("bart", "BartBackbone", {**sizes, "num_heads": 2, "max_sequence_length": 64}))
    # KerasHub starts an answer with </s><s>; the reference counts the second as generated.
    packed = keras_hub.models.BartSeq2SeqLMPreprocessor(
        tokenizer, encoder_sequence_length=24, decoder_sequence_length=1 + NEW
    )
    task = keras_hub.models.BartSeq2SeqLM(backbone=backbone, preprocessor=packed)
    task.compile(sampler="greedy")
    assert _answers(task, tmp_path, max_new_tokens=NEW) == task.generate(list(PROMPTS))
