"""Configs that leave keys out: the reader completes them as the reference's config class does."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from exporter.families import read_spec
from tests.families.cases import BY_TYPE

FOUR = {"num_hidden_layers": 4}
PARTIAL: list[tuple[str, dict[str, Any]]] = [
    ("bloom", {"n_embed": 48, "hidden_size": 64, "num_attention_heads": 6, "n_layer": 3}),
    ("cohere2", {**FOUR, "head_dim": 16, "hidden_size": 32, "num_attention_heads": 4}),
    ("cohere2", {**FOUR, "sliding_window_pattern": 2, "rope_theta": 50000}),
    ("cohere2", {**FOUR, "layer_types": ["full_attention"] * 4, "sliding_window": 7}),
    ("codegen", {"hidden_size": 1024, "num_attention_heads": 8, "n_inner": 100}),
    ("falcon", {"n_embed": 64, "num_attention_heads": 4, "rope_theta": 1000.0}),
    ("falcon", {"alibi": True, "parallel_attn": False, "multi_query": False}),
    (
        "falcon",
        {"hidden_size": 64, "num_attention_heads": 4, "rope_scaling": {"type": "linear", "factor": 2.0}},
    ),
    ("gpt_bigcode", {"multi_query": False, "n_inner": 8}),
    ("gpt_neo", {"attention_types": [[["local", "global"], 1], [["global"], 1]], "num_layers": 3}),
    (
        "gpt_neo",
        {
            "attention_types": [[["global"], 2]],
            "attention_layers": ["local", "local"],
            "num_layers": 2,
        },
    ),
    ("gpt_oss", {**FOUR, "rope_theta": 1000.0}),
    ("gpt_oss", {**FOUR, "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "num_experts": 8}),
    ("granite", {"num_key_value_heads": 4, "rope_scaling": {"type": "dynamic", "factor": 2.0}}),
    ("ministral3", {**FOUR, "rope_theta": 1000.0}),
    ("mixtral", {**FOUR, "num_experts": 4, "sliding_window": 9}),
    ("mpt", {"hidden_size": 64, "num_attention_heads": 4, "attn_config": {"clip_qkv": 6.0}}),
    ("mpt", {"attn_config": None}),
    ("olmo3", {**FOUR, "rope_theta": 1000.0}),
    ("olmo3", {**FOUR, "rope_theta": 1000.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    (
        "olmo3",
        {**FOUR, "rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 9.0}}},
    ),
    ("qwen2_moe", {**FOUR, "use_sliding_window": True, "max_window_layers": 3}),
    ("qwen2_moe", {**FOUR, "mlp_only_layers": [1], "decoder_sparse_step": 2, "norm_topk_prob": True}),
    ("qwen3_moe", {**FOUR, "use_sliding_window": True, "num_local_experts": 8, "head_dim": 16}),
    ("qwen3_moe", {**FOUR, "hidden_size": 256, "sliding_window": 5}),
    ("smollm3", {**FOUR, "no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": 5}),
    ("smollm3", {**FOUR, "no_rope_layers": [0, 1, 1, 0], "num_key_value_heads": None}),
    ("stablelm", {"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}}),
    ("stablelm", {"partial_rotary_factor": 0.5, "rope_theta": 5.0}),
    ("starcoder2", {"rope_theta": 999999.4420358813, "head_dim": 16}),
    ("xglm", {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "pad_token_id": 0}),
    ("apertus", {"rope_theta": 5.0}),
    ("apertus", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "num_key_value_heads": 8}),
    ("ctrl", {"n_layer": 3, "hidden_size": 64}),
    ("cwm", {**FOUR, "rope_theta": 5.0}),
    ("cwm", {**FOUR, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    ("exaone", {"num_layers": 3, "layer_norm_epsilon": 1e-3, "rope_theta": 5.0}),
    ("exaone4", {**FOUR, "sliding_window_pattern": 2, "rope_theta": 5.0}),
    ("glm", {"partial_rotary_factor": 0.25}),
    ("gpt_neox_japanese", {"rotary_pct": 0.5, "rotary_emb_base": 5.0}),
    ("granite_swa", {**FOUR, "rope_theta": 5.0}),
    ("hunyuan_v1_dense", {"rope_scaling": {"type": "dynamic", "alpha": 9.0, "factor": 1.0}, "head_dim": 16}),
    ("hyperclovax", {"head_dim": 64, "logits_scaling": 0.5}),
    ("internlm3", {"bias": True, "qkv_bias": True, "num_key_value_heads": None}),
    ("ministral", {**FOUR, "sliding_window": None}),
    ("modernbert-decoder", {**FOUR, "local_attention": 21, "global_rope_theta": 7.0}),
    ("modernbert-decoder", {**FOUR, "global_attn_every_n_layers": 2}),
    ("nemotron", {"num_key_value_heads": 8, "rope_theta": 5.0}),
    ("openai-gpt", {"num_hidden_layers": 3, "n_embd": 96}),
    ("persimmon", {"rope_theta": 5.0}),
    ("fuyu", {"hidden_size": 64, "num_attention_heads": 4, "rope_theta": 5.0}),
    ("glmasr", {"text_config": {"hidden_size": 64, "head_dim": 16, "rope_theta": 5.0}}),
    (
        "hunyuan_vl",
        {
            "attention_head_dim": 16,
            "num_hidden_layers": 3,
            "rope_scaling": {"type": "xdrope", "alpha": 9.0, "factor": 1.0, "xdrope_section": [2, 2, 2, 2]},
            "tie_word_embeddings": False,
        },
    ),
    ("nemotron_h_omni", {"llm_config": {"layers_block_type": ["mlp", "full_attention"]}}),
]


@pytest.mark.parametrize(("model_type", "given"), PARTIAL)
def test_completed_as_the_reference_does(model_type: str, given: dict[str, Any]) -> None:
    ours = read_spec({"model_type": model_type, **given})
    completed = getattr(transformers, BY_TYPE[model_type].config_class)(**given).to_dict()
    assert ours == read_spec(completed)
