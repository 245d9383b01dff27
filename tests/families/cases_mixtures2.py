"""Cases of the mixtures of experts that came after Mixtral's and Qwen's: other routers, shared experts."""

from __future__ import annotations

from typing import Any

from tests.families.case import Case, FamilyCases
from tests.families.cases_kin import PAD, SIZES, V4_REMOVED, V4_ROPE

DEEPSEEK: dict[str, Any] = {
    **SIZES,
    "moe_intermediate_size": 20,
    "n_routed_experts": 5,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
}
GROUPS: dict[str, Any] = {"n_routed_experts": 6, "n_group": 3, "topk_group": 2}
NO_WIDTH = {key: value for key, value in DEEPSEEK.items() if key != "intermediate_size"}
NO_SHARED = {key: value for key, value in DEEPSEEK.items() if key != "n_shared_experts"}
LLAMA4: dict[str, Any] = {
    **SIZES,
    "head_dim": 8,
    "intermediate_size_mlp": 40,
    "num_local_experts": 4,
    "attention_chunk_size": 5,
    "interleave_moe_layer_step": 2,
    "no_rope_layer_interval": 2,
    "floor_scale": 4,
    "attn_scale": 0.5,
}
VISION = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
    "vision_output_dim": 8,
    "projector_input_dim": 8,
    "projector_output_dim": 8,
}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "dots1",
        "Dots1Config",
        "Dots1ForCausalLM",
        DEEPSEEK,
        (
            Case("mixtures, shared expert", {}),
            Case(
                "a dense layer, groups, norm_topk_prob, sliding_window, biases, head_dim",
                {
                    **GROUPS,
                    "first_k_dense_replace": 1,
                    "norm_topk_prob": True,
                    "routed_scaling_factor": 2.5,
                    "n_shared_experts": 2,
                    "sliding_window": 5,
                    "max_window_layers": 1,
                    "attention_bias": True,
                    "head_dim": 12,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="dots.llm1",
    ),
    FamilyCases(
        "ernie4_5_moe",
        "Ernie4_5_MoeConfig",
        "Ernie4_5_MoeForCausalLM",
        {**SIZES, "moe_intermediate_size": 20, "moe_num_experts": 5, "moe_k": 2},
        (
            Case("a dense layer, shared experts, tied head", {}),
            Case(
                "use_bias, moe_layer_interval, no shared experts, moe_norm_min, head of its own",
                {
                    "num_hidden_layers": 3,
                    "use_bias": True,
                    "moe_num_shared_experts": 0,
                    "moe_layer_start_index": 0,
                    "moe_layer_end_index": 1,
                    "moe_layer_interval": 2,
                    "moe_norm_min": 0.6,
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 500000.0},
        v4_removed=V4_REMOVED,
        known_as="ERNIE-4.5-21B-A3B, ERNIE-4.5-300B-A47B",
    ),
    FamilyCases(
        "flex_olmo",
        "FlexOlmoConfig",
        "FlexOlmoForCausalLM",
        {**SIZES, **PAD, "num_experts": 5, "num_experts_per_tok": 2},
        (
            Case("norms behind the branches", {}),
            Case(
                "norm_topk_prob, biases, tied head",
                {"norm_topk_prob": True, "attention_bias": True, "tie_word_embeddings": True},
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 500000.0},
        v4_removed=V4_REMOVED,
        known_as="FlexOlmo",
    ),
    FamilyCases(
        "glm4_moe",
        "Glm4MoeConfig",
        "Glm4MoeForCausalLM",
        DEEPSEEK,
        (
            Case("a dense layer, shared expert, half of each head turns", {}),
            Case(
                "groups, no norm_topk_prob, two shared experts, biases, use_qk_norm, head_dim",
                {
                    **GROUPS,
                    "first_k_dense_replace": 0,
                    "norm_topk_prob": False,
                    "routed_scaling_factor": 2.5,
                    "n_shared_experts": 2,
                    "attention_bias": True,
                    "use_qk_norm": True,
                    "head_dim": 16,
                    "partial_rotary_factor": 0.25,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "partial_rotary_factor": 0.5},
        v4_removed=V4_REMOVED,
        known_as="GLM-4.5, GLM-4.6, GLM-4.7",
    ),
    FamilyCases(
        "llama4",
        "Llama4Config",
        "Llama4ForConditionalGeneration",
        {"vision_config": VISION, "image_token_index": 90, "boi_token_index": 91, "eoi_token_index": 92},
        (
            Case("text part of a checkpoint that reads images", {"text_config": LLAMA4}),
            Case(
                "two experts, moe_layers, no qk norm, no chunks, biases",
                {
                    "text_config": {
                        **LLAMA4,
                        "num_experts_per_tok": 2,
                        "moe_layers": [0],
                        "use_qk_norm": False,
                        "attention_chunk_size": None,
                        "attention_bias": True,
                    }
                },
                full=True,
            ),
        ),
        v4={"torch_dtype": "float32", "text_config": {**LLAMA4, "rope_theta": 500000.0}},
        v4_removed=("dtype",),
        known_as="Llama 4 (Scout, Maverick; text alone)",
    ),
    FamilyCases(
        "llama4_text",
        "Llama4TextConfig",
        "Llama4ForCausalLM",
        LLAMA4,
        (
            Case("chunks, a layer without positions, a dense layer, temperature tuning", {}),
            Case(
                "two experts, moe_layers, no qk norm, no chunks, biases, tied head",
                {
                    "num_experts_per_tok": 2,
                    "moe_layers": [0],
                    "no_rope_layers": [0, 1],
                    "use_qk_norm": False,
                    "attn_temperature_tuning": False,
                    "attention_chunk_size": None,
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 500000.0, "no_rope_layers": []},
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="Llama 4 (text model)",
    ),
    FamilyCases(
        "mimo_v2_flash",
        "MiMoV2FlashConfig",
        "MiMoV2FlashForCausalLM",
        {
            **NO_SHARED,
            "num_key_value_heads": 1,
            "head_dim": 12,
            "v_head_dim": 8,
            "sliding_window": 5,
            "layer_types": ["full_attention", "sliding_attention"],
        },
        (
            Case("smaller values, twice the keys and sinks in windowed layers, a dense layer", {}),
            Case(
                "no attention_value_scale, groups, mlp_layer_types, larger values, biases, tied head",
                {
                    **GROUPS,
                    "mlp_layer_types": ["sparse", "sparse"],
                    "routed_scaling_factor": 2.5,
                    "norm_topk_prob": False,
                    "attention_value_scale": None,
                    "v_head_dim": 16,
                    "attention_bias": True,
                    "rope_parameters": {
                        "full_attention": {
                            "rope_type": "default",
                            "rope_theta": 1000.0,
                            "partial_rotary_factor": 0.5,
                        },
                        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                    },
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={"torch_dtype": "float32", "sliding_window_size": 4, "routed_scaling_factor": None},
        v4_removed=("dtype", "sliding_window", "rope_parameters", "mlp_layer_types"),
        known_as="MiMo-V2-Flash",
    ),
    FamilyCases(
        "minimax_m2",
        "MiniMaxM2Config",
        "MiniMaxM2ForCausalLM",
        {**SIZES, "head_dim": 8, "num_local_experts": 5, "num_experts_per_tok": 2},
        (
            Case("rotary_dim", {"rotary_dim": 4}),
            Case(
                "all of four experts, whole heads turn, tied head",
                {
                    "num_local_experts": 4,
                    "num_experts_per_tok": 4,
                    "head_dim": 12,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 5000000.0},
        v4_removed=V4_REMOVED,
        known_as="MiniMax-M2",
    ),
    FamilyCases(
        "olmoe",
        "OlmoeConfig",
        "OlmoeForCausalLM",
        {**SIZES, **PAD, "num_experts": 5, "num_experts_per_tok": 2},
        (
            Case("norms over all of query and key", {}),
            Case(
                "clip_qkv, norm_topk_prob, biases, tied head",
                {
                    "clip_qkv": 0.5,
                    "norm_topk_prob": True,
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="OLMoE",
    ),
    FamilyCases(
        "phimoe",
        "PhimoeConfig",
        "PhimoeForCausalLM",
        {**SIZES, "num_local_experts": 5},
        (
            Case("sparsemixer, LayerNorm", {}),
            Case(
                "longrope, sliding_window, biases, router_jitter_noise",
                {
                    "sliding_window": 5,
                    "attention_bias": True,
                    "lm_head_bias": True,
                    "router_jitter_noise": 0.3,
                    "rope_parameters": {
                        "rope_type": "longrope",
                        "rope_theta": 10000.0,
                        "short_factor": [1.0, 1.5, 2.0, 2.5],
                        "long_factor": [2.0, 3.0, 4.0, 5.0],
                        "short_mscale": 1.2,
                        "long_mscale": 1.3,
                        "original_max_position_embeddings": 64,
                    },
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 1000000.0},
        v4_removed=V4_REMOVED,
        known_as="Phi-3.5-MoE",
    ),
    FamilyCases(
        "solar_open",
        "SolarOpenConfig",
        "SolarOpenForCausalLM",
        {**NO_WIDTH, "head_dim": 8},
        (
            Case("mixtures, shared expert", {}),
            Case(
                "groups, no norm_topk_prob, biases, tied head",
                {
                    **GROUPS,
                    "norm_topk_prob": False,
                    "routed_scaling_factor": 2.5,
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 1000000.0},
        v4_removed=V4_REMOVED,
        known_as="Solar Open",
    ),
)
