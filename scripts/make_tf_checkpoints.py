#!/usr/bin/env python3
"""Writes one tiny random checkpoint a family with the TensorFlow classes of transformers 4.57.

    scripts/make_tf_checkpoints [FILE.zip]

makes the environment and runs this. In the zip (HDF5 is mostly zeros here) a folder for each of ``CASES``:
config.json, tf_model.h5 (or what its ``save`` options make of it), and answers.json: prompts, float32 logits
and greedy ids by the same class.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import transformers

SOURCE, TARGET = [5, 9, 30, 2], [1, 7, 8, 21, 11]
NEW_TOKENS = 5
_DECODER = {"vocab_size": 40, "bos_token_id": 0, "eos_token_id": 39, "pad_token_id": 1}
_BART = {
    **_DECODER,
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 12,
    "max_position_embeddings": 16,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
    "forced_bos_token_id": None,
}
_T5 = {
    **_DECODER,
    "d_model": 8,
    "d_kv": 3,
    "d_ff": 12,
    "num_layers": 2,
    "num_heads": 2,
    "num_decoder_layers": 2,
}
_T5 |= {"decoder_start_token_id": 0}
_GPT = {**_DECODER, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16}


@dataclass(frozen=True)
class Case:
    """A class of transformers ("TF" left out), its configuration, and how it is saved."""

    model: str
    config: dict[str, Any]
    save: dict[str, Any] = field(default_factory=dict)


CASES = {
    "gpt2": Case("GPT2LMHeadModel", _GPT),
    "gptj": Case("GPTJForCausalLM", {**_GPT, "rotary_dim": 2}),
    "opt": Case(
        "OPTForCausalLM",
        {
            **_DECODER,
            "hidden_size": 8,
            "word_embed_proj_dim": 8,
            "num_hidden_layers": 2,
            "ffn_dim": 12,
            "num_attention_heads": 2,
            "max_position_embeddings": 16,
        },
    ),
    "xglm": Case(
        "XGLMForCausalLM",
        {
            **_DECODER,
            "d_model": 8,
            "num_layers": 2,
            "ffn_dim": 12,
            "attention_heads": 2,
            "max_position_embeddings": 16,
        },
    ),
    "mistral": Case(
        "MistralForCausalLM",
        {
            **_DECODER,
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "sliding_window": None,
            "max_position_embeddings": 32,
        },
    ),
    "t5": Case("T5ForConditionalGeneration", _T5),
    "mt5": Case(
        "MT5ForConditionalGeneration",
        {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "bart": Case("BartForConditionalGeneration", _BART),
    "mbart": Case("MBartForConditionalGeneration", {**_BART, "scale_embedding": True}),
    "blenderbot": Case("BlenderbotForConditionalGeneration", _BART),
    "blenderbot-small": Case("BlenderbotSmallForConditionalGeneration", _BART),
    "pegasus": Case("PegasusForConditionalGeneration", {**_BART, "scale_embedding": True}),
    "marian": Case("MarianMTModel", {**_BART, "scale_embedding": True, "activation_function": "swish"}),
    "bart-sharded": Case("BartForConditionalGeneration", _BART, {"max_shard_size": "3KB"}),
    "gpt2-sharded": Case("GPT2LMHeadModel", _GPT, {"max_shard_size": "3KB"}),
    "gpt2-safetensors": Case("GPT2LMHeadModel", _GPT, {"safe_serialization": True}),
    "marian-safetensors": Case("MarianMTModel", _BART, {"safe_serialization": True}),
}


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(out, "w") as packed:
        folder = Path(temporary)
        for name, case in CASES.items():
            print(name, flush=True)
            make(case, folder / name)
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            packed.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def make(case: Case, folder: Path) -> None:
    """Writes one checkpoint and its answers."""
    model_class = getattr(transformers, f"TF{case.model}")
    model = model_class(model_class.config_class(**case.config))
    model.build_in_name_scope()
    randomise(model)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, **({"safe_serialization": False} | case.save))
    answers = {"versions": [transformers.__version__, tf.__version__], **answer(model)}
    (folder / "answers.json").write_text(json.dumps(answers) + "\n")


def randomise(model: Any) -> None:
    """Every weight differs from its neighbours, biases and scales too; tables of waves stay."""
    numbers = np.random.default_rng(7)
    for weight in model.trainable_weights + model.non_trainable_weights:
        waves = "embed_positions" in weight.name and not weight.trainable
        if not waves:
            scale = 1.0 if "gamma" in weight.name or "norm/weight" in weight.name else 0.0
            weight.assign(scale + 0.5 * numbers.standard_normal(weight.shape).astype(np.float32))


def answer(model: Any) -> dict[str, Any]:
    """Logits of a whole sequence, and the ids that follow by greedy search."""
    ids = tf.constant([TARGET], tf.int32)
    greedy = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "num_beams": 1}
    if model.config.is_encoder_decoder:
        source = tf.constant([SOURCE], tf.int32)
        inputs = {"input_ids": source, "decoder_input_ids": ids}
        prompt = {"input_ids": source, "attention_mask": tf.ones_like(source)}
    else:
        inputs, prompt = {"input_ids": ids}, {"input_ids": ids, "attention_mask": tf.ones_like(ids)}
    logits = model(**inputs, training=False).logits
    generated = model.generate(**prompt, **greedy)
    return {
        "source": SOURCE if model.config.is_encoder_decoder else None,
        "target": TARGET,
        "logits": [[float(f"{value:.8g}") for value in row] for row in logits[0].numpy()],
        "greedy": generated[0].numpy().tolist(),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
