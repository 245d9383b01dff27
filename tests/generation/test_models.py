"""Whole models: ``generate`` on each prompt alone in PyTorch, against one padded batch of ours.

Decoder-only and encoder-decoder, greedy and with beams, with options that look at prompt and source.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers

from exporter.checkpoint import Checkpoint
from exporter.families import load_weights, read_spec
from exporter.generation.calls import generate, score
from exporter.generation.generation_options import resolve_options
from exporter.generation.result import FinishReason, Generated
from exporter.generation.rows import default_rows
from exporter.generation.step import Prompt
from exporter.model import build_model
from tests.generation.toy import make_prompt

pytestmark = pytest.mark.parity

VOCAB, NEW = 61, 10
PROMPTS = [[3, 4, 5, 3, 4], [7], [11, 2, 33, 4, 5, 6, 11, 2], [9, 9]]
CONFIGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", {"n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 64}),
    "mistral": (
        "MistralConfig",
        "MistralForCausalLM",
        {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
        | {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4, "max_position_embeddings": 64},
    ),
    "deepseek_v3": (
        "DeepseekV3Config",
        "DeepseekV3ForCausalLM",
        {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
        | {"num_key_value_heads": 4, "kv_lora_rank": 12, "q_lora_rank": 10, "qk_nope_head_dim": 6}
        | {"qk_rope_head_dim": 4, "v_head_dim": 8, "moe_intermediate_size": 16, "n_routed_experts": 4}
        | {"num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}
        | {"max_position_embeddings": 64},
    ),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {"d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_heads": 3, "decoder_start_token_id": 0},
    ),
    "bart": (
        "BartConfig",
        "BartForConditionalGeneration",
        {"d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 3}
        | {"decoder_attention_heads": 3, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40}
        | {"max_position_embeddings": 64, "decoder_start_token_id": 2, "forced_eos_token_id": None},
    ),
}
ENCODER_DECODER = {"t5", "bart"}


@functools.cache
def oracle(family: str) -> Any:
    config_class, model_class, values = CONFIGS[family]
    torch.manual_seed(3)
    config = getattr(transformers, config_class)(
        vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, pad_token_id=0, **values
    )
    model = getattr(transformers, model_class)(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            wide = any(part in name for part in ("emb", "wte", "shared", "lm_head"))
            parameter.add_(torch.randn_like(parameter) * (0.6 if wide else 0.2))
    return model


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @functools.cache
    def build(family: str) -> Any:
        path: Path = tmp_path_factory.mktemp(family)
        oracle(family).save_pretrained(path)
        checkpoint = Checkpoint(path)
        spec = read_spec(checkpoint.config)
        return build_model(spec, load_weights(spec, checkpoint, np.float32))

    return build


def batch(family: str, start: int | None) -> Prompt:
    """Decoder-only: the prompts, left-padded; encoder-decoder: as sources, right-padded."""
    prompt = make_prompt(PROMPTS, 9)
    if family not in ENCODER_DECODER:
        return prompt
    tokens = np.full((len(PROMPTS), 9), 5, np.int32)
    for row, source in zip(tokens, PROMPTS, strict=True):
        row[: len(source)] = source
    starts = tf.fill([len(PROMPTS), 1], start)
    return Prompt(starts, tf.ones_like(starts[:, 0]), tf.constant(tokens), prompt.lengths)


def check(model: Any, family: str, options: dict[str, Any]) -> None:
    options = {"eos_token_id": [2, 17], "pad_token_id": 0, "max_new_tokens": NEW} | options
    seq2seq = family in ENCODER_DECODER
    facts = {"vocab_size": VOCAB, "is_encoder_decoder": seq2seq}
    start = {"decoder_start_token_id": CONFIGS[family][2]["decoder_start_token_id"]} if seq2seq else {}
    resolved = resolve_options(None, {}, {**options, **start}, **facts)

    @tf.function(jit_compile=True)
    def compiled(prompt: Prompt) -> Generated:
        return generate(model, prompt, resolved, default_rows(resolved, 4), row_options=False)

    got = compiled(batch(family, resolved.decoder_start_token_id))
    beams = resolved.num_beams > 1
    for row, prompt in enumerate(PROMPTS):
        outputs = {"return_dict_in_generate": True, "output_scores": True}
        want = oracle(family).generate(torch.tensor([prompt]), **options, **outputs)
        for index in range(resolved.num_return_sequences):
            ids = want.sequences[index, 1 if seq2seq else len(prompt) :].tolist()
            count = int(got.num_tokens[row, index])
            assert got.sequences[row, index, :count].numpy().tolist() == ids[:count], (row, index)
            # The reference's beams end in the first end-of-sequence token where the pad token is 0.
            assert set(ids[count:]) <= {0, 2}
            stopped = ids[count - 1] in resolved.eos_token_id
            assert got.finish_reason[row, index] == (FinishReason.STOP if stopped else FinishReason.LENGTH)
        if beams:
            np.testing.assert_allclose(got.score[row], want.sequences_scores, rtol=1e-4, atol=1e-4)


BEAMS = {"num_beams": 3, "num_return_sequences": 2}
OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": BEAMS,
    "beams, never": BEAMS | {"early_stopping": "never", "length_penalty": 2.0},
    "penalties": {"repetition_penalty": 1.4, "encoder_repetition_penalty": 1.2, "no_repeat_ngram_size": 2},
    "beams, n-grams": BEAMS | {"no_repeat_ngram_size": 2, "encoder_no_repeat_ngram_size": 3},
    "lengths": {"min_length": 8, "exponential_decay_length_penalty": (3, 1.5), "forced_eos_token_id": 17},
    "beams, forced": BEAMS
    | {"forced_bos_token_id": 9, "forced_eos_token_id": 2, "begin_suppress_tokens": [4]},
    "bans": {"bad_words_ids": [[4, 5], [33]], "suppress_tokens": [7], "sequence_bias": [[[9, 9], 2.0]]},
    "lookup": {"prompt_lookup_num_tokens": 4},
}
QUICK = {
    "gpt2": ("beams", "beams, n-grams", "penalties", "lookup"),
    "mistral": ("beams", "lookup"),
    "deepseek_v3": ("beams",),
    "t5": ("beams", "penalties"),
    "bart": ("beams, forced",),
}


@pytest.mark.parametrize(
    ("family", "name"),
    [
        pytest.param(family, name, marks=() if name in QUICK[family] else pytest.mark.full)
        for family in CONFIGS
        for name in OPTIONS
        if not (family in ENCODER_DECODER and name == "lookup")
    ],
)
def test_generate_equals_transformers(ours: Any, family: str, name: str) -> None:
    check(ours(family), family, OPTIONS[name])


@pytest.mark.parametrize("family", ["gpt2", pytest.param("mistral", marks=pytest.mark.full)])
def test_score_equals_the_log_softmax(ours: Any, family: str) -> None:
    continuation = np.random.default_rng(0).integers(3, VOCAB, size=(4, 20)).astype(np.int32)
    lengths = np.array([20, 3, 17, 1], np.int32)
    ask = tf.function(lambda *args: score(ours(family), *args), jit_compile=True)
    got = ask(make_prompt(PROMPTS, 9), tf.constant(continuation), tf.constant(lengths))
    for row, prompt in enumerate(PROMPTS):
        tokens = continuation[row, : lengths[row]].tolist()
        with torch.no_grad():
            logits = oracle(family)(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
        want = torch.log_softmax(logits, -1)[range(len(tokens)), tokens]
        np.testing.assert_allclose(got.logprobs[row, : len(tokens)], want, atol=2e-3)
