"""Cases of families near Llama's plan, one difference or two each."""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
# pad_token_id of real vocabularies lies beyond a tiny one.
PAD = {"pad_token_id": 0}
# Version 4 knows neither dtype nor rope_parameters.
V4_ROPE = {"torch_dtype": "float32", "rope_theta": 10000.0, "rope_scaling": None}
V4_REMOVED = ("dtype", "rope_parameters")

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "falcon",
        "FalconConfig",
        "FalconForCausalLM",
        {
            key: value
            for key, value in SIZES.items()
            if key not in {"intermediate_size", "num_key_value_heads"}
        },
        (
            Case("multi-query, parallel (7B)", {}, attention="sdpa"),
            Case(
                "alibi, biases, sequential, multi-head, 6 heads (RW)",
                {
                    "alibi": True,
                    "bias": True,
                    "parallel_attn": False,
                    "multi_query": False,
                    "hidden_size": 36,
                    "num_attention_heads": 6,
                },
                attention="sdpa",
            ),
            Case(
                "new decoder, grouped heads (40B)",
                {"new_decoder_architecture": True, "num_kv_heads": 2, "tie_word_embeddings": False},
                attention="sdpa",
            ),
            Case(
                "new decoder with one norm, ffn_hidden_size, linear rope (Falcon 2)",
                {
                    "new_decoder_architecture": True,
                    "num_kv_heads": 1,
                    "num_ln_in_parallel_attn": 1,
                    "ffn_hidden_size": 50,
                    "activation": "relu",
                    "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
                },
                attention="sdpa",
                full=True,
            ),
            Case("multi-query alibi, parallel", {"alibi": True}, attention="sdpa", full=True),
        ),
        v4={
            **V4_ROPE,
            "n_embed": 32,
            "apply_residual_connection_post_layernorm": False,
            "ff_factor": 4,
            "ffn_hidden_size": 128,
            "num_kv_heads": 4,
        },
        v4_removed=(*V4_REMOVED, "hidden_size"),
        known_as="Falcon, Falcon-RW, Falcon 2",
    ),
    FamilyCases(
        "starcoder2",
        "Starcoder2Config",
        "Starcoder2ForCausalLM",
        SIZES,
        (
            Case("grouped heads", {}),
            Case("sliding_window, no biases", {"sliding_window": 5, "use_bias": False}, full=True),
            Case(
                "untied head, head_dim, yarn",
                {
                    "tie_word_embeddings": False,
                    "head_dim": 12,
                    "rope_parameters": {
                        "rope_type": "yarn",
                        "factor": 4.0,
                        "rope_theta": 1000.0,
                        "original_max_position_embeddings": 16,
                    },
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "norm_type": "layer_norm", "mlp_type": "default"},
        v4_removed=V4_REMOVED,
        known_as="StarCoder2",
    ),
    FamilyCases(
        "stablelm",
        "StableLmConfig",
        "StableLmForCausalLM",
        {**SIZES, "hidden_size": 64},
        (
            Case("a quarter of each head turns", {}),
            Case(
                "qk_layernorm, use_parallel_residual", {"qk_layernorm": True, "use_parallel_residual": True}
            ),
            Case(
                "use_qkv_bias, half of each head turns, tied head",
                {"use_qkv_bias": True, "partial_rotary_factor": 0.5, "tie_word_embeddings": True},
                full=True,
            ),
        ),
        v4={**V4_ROPE, "partial_rotary_factor": 0.25},
        v4_removed=V4_REMOVED,
        known_as="StableLM 2, StableLM Zephyr",
    ),
    FamilyCases(
        "granite",
        "GraniteConfig",
        "GraniteForCausalLM",
        {**SIZES, "attention_multiplier": 0.3},
        (
            Case(
                "all multipliers",
                {"embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22},
            ),
            Case(
                "biases, tied head",
                {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
                full=True,
            ),
            Case("head_dim, multi-head", {"head_dim": 12, "num_key_value_heads": 4}, full=True),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="Granite 3",
    ),
    FamilyCases(
        "cohere",
        "CohereConfig",
        "CohereForCausalLM",
        SIZES,
        (
            Case("parallel branches, interleaved rotary", {}),
            Case("use_qk_norm, biases", {"use_qk_norm": True, "attention_bias": True}),
            Case(
                "untied head, logit_scale, multi-head",
                {
                    "tie_word_embeddings": False,
                    "logit_scale": 0.8,
                    "num_key_value_heads": None,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 500000.0, "model_max_length": 131072, "pretraining_tp": 1},
        v4_removed=V4_REMOVED,
        known_as="Command R, Command R+, Aya 23",
    ),
    FamilyCases(
        "cohere2",
        "Cohere2Config",
        "Cohere2ForCausalLM",
        {**SIZES, "num_hidden_layers": 4, "sliding_window": 5},
        (
            Case("three windowed layers and one without positions", {}),
            Case(
                "layer_types, biases",
                {
                    "num_hidden_layers": 2,
                    "layer_types": ["full_attention", "sliding_attention"],
                    "attention_bias": True,
                },
                full=True,
            ),
            Case(
                "all windowed, untied head, logit_scale",
                {
                    "num_hidden_layers": 2,
                    "logit_scale": 0.8,
                    "tie_word_embeddings": False,
                    "sliding_window": 3,
                },
                full=True,
            ),
        ),
        v4={
            **V4_ROPE,
            "sliding_window_pattern": 4,
            "_sliding_window_pattern": 4,
            "layer_switch": 4,
            "order_of_interleaved_layers": "local_attn_first",
            "position_embedding_type": "rope_gptj",
            "rotary_pct": 1.0,
            "use_embedding_sharing": True,
            "use_gated_activation": True,
            "use_parallel_block": True,
            "use_parallel_embedding": True,
            "use_qk_norm": False,
            "cache_implementation": "hybrid",
        },
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="Command R7B, Command A, Aya Expanse 2",
    ),
    FamilyCases(
        "olmo",
        "OlmoConfig",
        "OlmoForCausalLM",
        {**SIZES, **PAD},
        (
            Case("norms without weights", {}),
            Case("clip_qkv, biases", {"clip_qkv": 0.7, "attention_bias": True}),
            Case("tied head, multi-head", {"tie_word_embeddings": True, "num_key_value_heads": 4}, full=True),
        ),
        v4={**V4_ROPE, "pretraining_tp": 1},
        v4_removed=V4_REMOVED,
        known_as="OLMo",
    ),
    FamilyCases(
        "olmo2",
        "Olmo2Config",
        "Olmo2ForCausalLM",
        {**SIZES, **PAD},
        (
            Case("norms after the branches", {}),
            Case(
                "biases, multi-head, head_dim",
                {
                    "attention_bias": True,
                    "num_key_value_heads": 4,
                    "head_dim": 12,
                    "rms_norm_eps": 1e-3,
                },
                full=True,
            ),
            Case(
                "tied head, llama3 rope",
                {
                    "tie_word_embeddings": True,
                    "rope_parameters": {
                        "rope_type": "llama3",
                        "factor": 8.0,
                        "low_freq_factor": 1.0,
                        "high_freq_factor": 4.0,
                        "original_max_position_embeddings": 16,
                        "rope_theta": 1000.0,
                    },
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="OLMo 2",
    ),
    FamilyCases(
        "olmo3",
        "Olmo3Config",
        "Olmo3ForCausalLM",
        {**SIZES, **PAD, "num_hidden_layers": 4, "sliding_window": 5},
        (
            Case("three windowed layers and one that sees all", {}),
            Case(
                "yarn where a layer sees all, two bases",
                {
                    "num_hidden_layers": 2,
                    "layer_types": ["sliding_attention", "full_attention"],
                    "rope_parameters": {
                        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                        "full_attention": {
                            "rope_type": "yarn",
                            "factor": 8.0,
                            "rope_theta": 1000.0,
                            "original_max_position_embeddings": 16,
                            "attention_factor": 1.2,
                        },
                    },
                },
                full=True,
            ),
            Case(
                "version 4's rope_scaling, biases, tied head",
                {
                    "num_hidden_layers": 2,
                    "layer_types": ["sliding_attention", "full_attention"],
                    "rope_theta": 1000.0,
                    "rope_scaling": {"rope_type": "linear", "factor": 2.0},
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 500000.0},
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="OLMo 3",
    ),
    FamilyCases(
        "smollm3",
        "SmolLM3Config",
        "SmolLM3ForCausalLM",
        {**SIZES, **PAD, "num_hidden_layers": 4},
        (
            Case("one of four layers without positions", {}),
            Case(
                "windowed where without positions, biases",
                {
                    "num_hidden_layers": 2,
                    "no_rope_layers": [0, 1],
                    "use_sliding_window": True,
                    "sliding_window": 5,
                    "attention_bias": True,
                    "mlp_bias": True,
                },
                full=True,
            ),
            Case(
                "no_rope_layer_interval, untied head",
                {
                    "num_hidden_layers": 3,
                    "no_rope_layer_interval": 2,
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 2000000.0, "max_window_layers": 28, "pretraining_tp": 2},
        v4_removed=(*V4_REMOVED, "layer_types", "no_rope_layers"),
        known_as="SmolLM3",
    ),
    FamilyCases(
        "ministral3",
        "Ministral3Config",
        "Ministral3ForCausalLM",
        {
            **SIZES,
            **PAD,
            "head_dim": 12,
            "rope_parameters": {
                "type": "yarn",
                "rope_theta": 1000.0,
                "factor": 16.0,
                "original_max_position_embeddings": 4,
                "max_position_embeddings": 64,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "mscale_all_dim": 1.0,
                "mscale": 1.0,
                "llama_4_scaling_beta": 0.1,
            },
        },
        (
            Case("yarn, growing queries", {}),
            Case("sliding_window, tied head", {"sliding_window": 5, "tie_word_embeddings": True}, full=True),
            Case(
                "default rope, faster growth",
                {
                    "rope_parameters": {
                        "rope_type": "default",
                        "rope_theta": 1000.0,
                        "llama_4_scaling_beta": 1.5,
                        "original_max_position_embeddings": 2,
                    },
                },
                full=True,
            ),
        ),
        v4={"torch_dtype": "float32"},
        v4_removed=("dtype",),
        known_as="Ministral 3 (text)",
    ),
)
