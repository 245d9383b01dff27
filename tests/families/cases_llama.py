"""Cases of the Llama-like families, of Gemma, Phi, GPT-NeoX and OPT."""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
V4 = {"torch_dtype": "float32", "rope_theta": 10000.0, "rope_scaling": None}
V5_ONLY = ("dtype", "rope_parameters", "layer_types")
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


def rope(kind: str, **parameters: Any) -> dict[str, Any]:
    """rope_parameters as version 5 writes them."""
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **parameters}}


def factors(dim: int, start: float) -> list[float]:
    return [start + 0.25 * index for index in range(dim // 2)]


LONGROPE = {"short_factor": factors(8, 1.0), "long_factor": factors(8, 2.0)}

GEMMA3 = {
    **GROUPED,
    "head_dim": 12,
    "sliding_window": 4,
    "num_hidden_layers": 3,
    "query_pre_attn_scalar": 10,
    "sliding_window_pattern": 3,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "vision_use_head": False,
}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "llama",
        "LlamaConfig",
        "LlamaForCausalLM",
        GROUPED,
        (
            Case("grouped heads", {}),
            Case(
                "tied head, attention_bias, mlp_bias, head_dim",
                {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 12},
            ),
            Case(
                "rope linear, multi-query",
                {**rope("linear", factor=2.0), "num_key_value_heads": 1},
                full=True,
            ),
            # 10 positions, so that some rows are within them, some beyond, and some cross while they decode.
            Case("rope dynamic", {**rope("dynamic", factor=2.0), "max_position_embeddings": 10}),
            Case("rope yarn", rope("yarn", factor=4.0, original_max_position_embeddings=16), full=True),
            Case(
                "rope yarn with mscale, betas, truncate",
                rope(
                    "yarn",
                    factor=4.0,
                    original_max_position_embeddings=16,
                    mscale=1.0,
                    mscale_all_dim=0.8,
                    beta_fast=16.0,
                    beta_slow=2.0,
                    truncate=False,
                ),
                full=True,
            ),
            Case("rope llama3, rope_theta", rope("llama3", **{**LLAMA3, "rope_theta": 500000.0}), full=True),
            Case("rope longrope", rope("longrope", **LONGROPE, original_max_position_embeddings=10)),
        ),
        v4={**V4, "pretraining_tp": 1},
        v4_removed=(*V5_ONLY, "head_dim"),
        known_as="Llama 1-3.3, TinyLlama, SmolLM, Vicuna, Yi, DeepSeek-LLM",
    ),
    FamilyCases(
        "mistral",
        "MistralConfig",
        "MistralForCausalLM",
        GROUPED,
        (
            Case("sliding window shorter than prompt and new tokens", {"sliding_window": 4}),
            Case("no window, head_dim", {"sliding_window": None, "head_dim": 6}, full=True),
            Case(
                "window reached while decoding, tied head",
                {"sliding_window": 9, "tie_word_embeddings": True},
                full=True,
            ),
        ),
        v4=V4,
        v4_removed=(*V5_ONLY, "head_dim"),
        known_as="Mistral 7B, Mistral Nemo, Zephyr",
    ),
    FamilyCases(
        "qwen2",
        "Qwen2Config",
        "Qwen2ForCausalLM",
        GROUPED,
        (
            Case("biases of query, key and value", {}),
            Case(
                "use_sliding_window from max_window_layers on",
                {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
                full=True,
            ),
            Case(
                "tied head, rope yarn", {"tie_word_embeddings": True, **rope("yarn", factor=4.0)}, full=True
            ),
        ),
        v4={**V4, "use_sliding_window": False, "sliding_window": 4096},
        v4_removed=V5_ONLY,
        known_as="Qwen1.5, Qwen2, Qwen2.5, QwQ",
    ),
    FamilyCases(
        "qwen3",
        "Qwen3Config",
        "Qwen3ForCausalLM",
        {**GROUPED, "head_dim": 12},
        (
            Case("query and key norms", {}),
            Case(
                "attention_bias, tied head", {"attention_bias": True, "tie_word_embeddings": True}, full=True
            ),
            Case(
                "windows by layer_types",
                {
                    "use_sliding_window": True,
                    "sliding_window": 5,
                    "layer_types": ["sliding_attention", "full_attention"],
                },
                full=True,
            ),
        ),
        v4={**V4, "sliding_window": None},
        v4_removed=V5_ONLY,
        known_as="Qwen3 (dense)",
    ),
    FamilyCases(
        "gemma",
        "GemmaConfig",
        "GemmaForCausalLM",
        {**GROUPED, "head_dim": 12},
        (
            Case("multi-query", {"num_key_value_heads": 1}),
            Case("attention_bias", {"attention_bias": True}, full=True),
            Case(
                "hidden_act relu, untied head",
                {"hidden_act": "relu", "tie_word_embeddings": False},
                full=True,
            ),
        ),
        v4={**V4, "hidden_act": "gelu", "hidden_activation": None},
        v4_removed=V5_ONLY,
        known_as="Gemma 1, CodeGemma",
    ),
    FamilyCases(
        "gemma2",
        "Gemma2Config",
        "Gemma2ForCausalLM",
        {**GROUPED, "head_dim": 12, "sliding_window": 4, "query_pre_attn_scalar": 10},
        (
            Case(
                "soft caps, alternating windows",
                {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0},
            ),
            Case(
                "no soft caps", {"attn_logit_softcapping": None, "final_logit_softcapping": None}, full=True
            ),
            Case(
                "layer_types, attention_bias",
                {"layer_types": ["full_attention", "sliding_attention"], "attention_bias": True},
                full=True,
            ),
        ),
        v4={**V4, "hidden_act": "gelu_pytorch_tanh", "cache_implementation": "hybrid"},
        v4_removed=V5_ONLY,
        known_as="Gemma 2",
    ),
    FamilyCases(
        "gemma3_text",
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        {**GROUPED, "head_dim": 12, "sliding_window": 4, "num_hidden_layers": 3, "query_pre_attn_scalar": 10},
        (
            Case("local and global layers", {"sliding_window_pattern": 3}),
            Case(
                "rope linear on global layers, layer_types",
                {
                    "layer_types": ["full_attention", "sliding_attention", "full_attention"],
                    "rope_parameters": {
                        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                    },
                },
                full=True,
            ),
            Case(
                "final soft cap", {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}, full=True
            ),
        ),
        v4={
            "torch_dtype": "float32",
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
            "rope_scaling": None,
            "sliding_window_pattern": 3,
            "cache_implementation": "hybrid",
        },
        v4_removed=V5_ONLY,
        known_as="Gemma 3 1B and 270M",
    ),
    FamilyCases(
        "gemma3",
        "Gemma3Config",
        "Gemma3ForConditionalGeneration",
        {"vision_config": VISION, "image_token_index": 90, "boi_token_index": 91, "eoi_token_index": 92},
        (
            Case("text part of a checkpoint that reads images", {"text_config": GEMMA3}),
            Case(
                "rope linear on global layers",
                {
                    "text_config": {
                        **GEMMA3,
                        "layer_types": ["sliding_attention", "full_attention", "full_attention"],
                        "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}},
                    }
                },
                full=True,
            ),
            Case(
                "attention_bias, multi-query",
                {"text_config": {**GEMMA3, "attention_bias": True, "num_key_value_heads": 1}},
                full=True,
            ),
        ),
        v4={
            "torch_dtype": "float32",
            "text_config": {
                **GEMMA3,
                "model_type": "gemma3_text",
                "rope_scaling": None,
                "rope_theta": 1000000.0,
            },
        },
        v4_removed=("dtype",),
        known_as="Gemma 3 4B to 27B, text only",
    ),
    FamilyCases(
        "phi",
        "PhiConfig",
        "PhiForCausalLM",
        SIZES,
        (
            Case("partial rotary", {}),
            Case("qk_layernorm, grouped heads", {"qk_layernorm": True, "num_key_value_heads": 2}, full=True),
            Case(
                "partial_rotary_factor, gelu",
                {"partial_rotary_factor": 0.75, "hidden_act": "gelu"},
                full=True,
            ),
        ),
        v4={**V4, "partial_rotary_factor": 0.5},
        v4_removed=V5_ONLY,
        known_as="Phi-1, Phi-1.5, Phi-2",
    ),
    FamilyCases(
        "phi3",
        "Phi3Config",
        "Phi3ForCausalLM",
        {**GROUPED, "pad_token_id": 0},
        (
            Case("fused projections", {}),
            Case(
                "longrope, short factors",
                {
                    **rope("longrope", **LONGROPE),
                    "max_position_embeddings": 128,
                    "original_max_position_embeddings": 32,
                },
                full=True,
            ),
            Case(
                "sliding window, partial rotary",
                {"sliding_window": 5, "partial_rotary_factor": 0.5},
                full=True,
            ),
        ),
        v4={
            **V4,
            "rope_scaling": None,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "original_max_position_embeddings": 64,
        },
        v4_removed=V5_ONLY,
        known_as="Phi-3, Phi-3.5 mini, Phi-4",
    ),
    FamilyCases(
        "gpt_neox",
        "GPTNeoXConfig",
        "GPTNeoXForCausalLM",
        SIZES,
        (
            Case("parallel branches, quarter rotary", {}),
            Case(
                "sequential branches, half rotary",
                {"use_parallel_residual": False, "rotary_pct": 0.5},
                full=True,
            ),
            Case(
                "no attention_bias, tied head",
                {"attention_bias": False, "tie_word_embeddings": True},
                full=True,
            ),
        ),
        v4={"torch_dtype": "float32", "rotary_emb_base": 10000, "rotary_pct": 0.25, "rope_scaling": None},
        v4_removed=V5_ONLY,
        known_as="GPT-NeoX-20B, Pythia, Dolly v2, RedPajama-INCITE, StableLM alpha",
    ),
    FamilyCases(
        "opt",
        "OPTConfig",
        "OPTForCausalLM",
        {
            "vocab_size": VOCAB,
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
        },
        (
            Case("norm before the branches", {}),
            Case(
                "norm after them, project_in and project_out",
                {"do_layer_norm_before": False, "word_embed_proj_dim": 24},
            ),
            Case(
                "no biases, norms without weights",
                {"enable_bias": False, "layer_norm_elementwise_affine": False},
                full=True,
            ),
            Case(
                "no final norm, gelu, untied head",
                {
                    "_remove_final_layer_norm": True,
                    "activation_function": "gelu",
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
        ),
        v4={"torch_dtype": "float32", "prefix": "</s>", "activation_dropout": 0.0},
        v4_removed=("dtype",),
        known_as="OPT, Galactica",
    ),
)
