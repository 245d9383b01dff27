"""Cases of families whose layers carry a state beside keys and values.

In the quick tier one family stands for each mechanism, and those that people run most.
"""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases_kin import SIZES, V4_REMOVED, V4_ROPE

TORCH = {"torch_dtype": "float32"}
NEMOTRON: dict[str, Any] = {
    "mamba_num_heads": 8,
    "mamba_head_dim": 6,
    "n_groups": 2,
    "ssm_state_size": 5,
    "chunk_size": 4,
    "moe_intermediate_size": 20,
    "moe_shared_expert_intermediate_size": 24,
    "n_routed_experts": 4,
}
DELTA: dict[str, Any] = {
    **SIZES,
    "num_hidden_layers": 3,
    "head_dim": 8,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 10,
}
MOE: dict[str, Any] = {
    "moe_intermediate_size": 20,
    "shared_expert_intermediate_size": 24,
    "num_experts": 5,
    "num_experts_per_tok": 2,
}
MAMBA2: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_n_groups": 2,
    "mamba_d_state": 6,
    "mamba_chunk_size": 4,
}
STATE: dict[str, Any] = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0}
VISION: dict[str, Any] = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 2,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "lfm2",
        "Lfm2Config",
        "Lfm2ForCausalLM",
        {**SIZES, "num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]},
        (
            Case("short convolutions and attention, adjusted width", {"block_multiple_of": 8}),
            Case(
                "biases, five tokens at once, head of its own, plain width, only the last layer attends",
                {
                    "conv_bias": True,
                    "conv_L_cache": 5,
                    "tie_word_embeddings": False,
                    "block_auto_adjust_ff_dim": False,
                    "layer_types": ["conv", "conv", "full_attention"],
                },
                full=True,
            ),
        ),
        v4={**TORCH, "rope_theta": 1000000.0, "full_attn_idxs": [1], "theta": 1000000.0, "conv_dim": 32},
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="LFM2",
    ),
    FamilyCases(
        "lfm2_moe",
        "Lfm2MoeConfig",
        "Lfm2MoeForCausalLM",
        {
            **SIZES,
            "num_hidden_layers": 3,
            "layer_types": ["conv", "full_attention", "conv"],
            "num_dense_layers": 1,
            "moe_intermediate_size": 20,
            "num_experts": 5,
            "num_experts_per_tok": 2,
        },
        (
            Case("a dense layer, mixtures with a correction", {}, full=True),
            Case(
                "no correction, weights not normalised, a factor, biases, head of its own",
                {
                    "use_expert_bias": False,
                    "norm_topk_prob": False,
                    # With two of five, in half precision, where a bias is rounded decides in some layer
                    # which experts are the best; their weights are not normalised, so that all moves.
                    "num_experts_per_tok": 3,
                    "routed_scaling_factor": 1.7,
                    "conv_bias": True,
                    "tie_word_embeddings": False,
                    "num_dense_layers": 0,
                },
                full=True,
            ),
        ),
        v4={**TORCH, "rope_theta": 1000000.0},
        v4_removed=V4_REMOVED,
        known_as="LFM2-8B-A1B",
    ),
    FamilyCases(
        "qwen3_next",
        "Qwen3NextConfig",
        "Qwen3NextForCausalLM",
        {**DELTA, **MOE},
        (
            Case("gated delta nets, gated attention, shared expert", {"mlp_only_layers": [1]}, full=True),
            Case(
                "two tokens at once, whole heads turn, biases, weights not normalised, tied head",
                {
                    "linear_conv_kernel_dim": 2,
                    "partial_rotary_factor": 1.0,
                    "attention_bias": True,
                    "norm_topk_prob": False,
                    "decoder_sparse_step": 2,
                    "linear_num_key_heads": 4,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "partial_rotary_factor": 0.25, "full_attention_interval": 4},
        v4_removed=V4_REMOVED,
        known_as="Qwen3-Next",
    ),
    FamilyCases(
        "qwen3_5_text",
        "Qwen3_5TextConfig",
        "Qwen3_5ForCausalLM",
        DELTA,
        (
            Case("gated delta nets, dense", {}),
            Case(
                "one key head, attention in every second layer, gelu, rms_norm_eps, tied head",
                {
                    "rms_norm_eps": 1e-5,
                    "linear_num_key_heads": 1,
                    "layer_types": None,
                    "full_attention_interval": 2,
                    "hidden_act": "gelu",
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "partial_rotary_factor": 0.25},
        v4_removed=V4_REMOVED,
        known_as="Qwen3.5, text alone",
    ),
    FamilyCases(
        "qwen3_5",
        "Qwen3_5Config",
        "Qwen3_5ForConditionalGeneration",
        {"vision_config": VISION, "image_token_id": 90, "video_token_id": 91},
        (
            Case("text part of a checkpoint that reads images", {"text_config": DELTA}, full=True),
            Case(
                "tied head, attention_bias",
                {
                    "text_config": {**DELTA, "attention_bias": True, "tie_word_embeddings": True},
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**TORCH, "text_config": {**DELTA, **V4_ROPE, "model_type": "qwen3_5_text"}},
        v4_removed=("dtype",),
        known_as="Qwen3.5",
    ),
    FamilyCases(
        "qwen3_5_moe_text",
        "Qwen3_5MoeTextConfig",
        "Qwen3_5MoeForCausalLM",
        {key: value for key, value in {**DELTA, **MOE}.items() if key != "intermediate_size"},
        (
            Case("gated delta nets, a mixture in every layer", {}, full=True),
            Case("all of three experts", {"num_experts": 3, "num_experts_per_tok": 3}, full=True),
        ),
        v4={**V4_ROPE, "partial_rotary_factor": 0.25},
        v4_removed=V4_REMOVED,
        known_as="Qwen3.5-35B-A3B, text alone",
    ),
    FamilyCases(
        "qwen3_5_moe",
        "Qwen3_5MoeConfig",
        "Qwen3_5MoeForConditionalGeneration",
        {"vision_config": VISION, "image_token_id": 90, "video_token_id": 91},
        (
            Case(
                "text part of a checkpoint that reads images, mixtures",
                {"text_config": {**DELTA, **MOE}},
                full=True,
            ),
            Case(
                "one expert a token",
                {"text_config": {**DELTA, **MOE, "num_experts_per_tok": 1}},
                full=True,
            ),
        ),
        v4={**TORCH, "text_config": {**DELTA, **MOE, **V4_ROPE, "model_type": "qwen3_5_moe_text"}},
        v4_removed=("dtype",),
        known_as="Qwen3.5-35B-A3B",
    ),
    FamilyCases(
        "olmo_hybrid",
        "OlmoHybridConfig",
        "OlmoHybridForCausalLM",
        {
            **SIZES,
            "num_hidden_layers": 3,
            "layer_types": DELTA["layer_types"],
            "pad_token_id": 0,
            "eos_token_id": 1,
            # The reference writes the three convolutions of equal size, whatever they are.
            "linear_key_head_dim": 6,
            "linear_value_head_dim": 6,
        },
        (
            Case("gated delta nets that may turn values round, norms behind attention", {}, full=True),
            Case(
                "no positions, strengths up to 1, biases, own sizes",
                {
                    "rope_parameters": {"rope_theta": None, "rope_type": "default"},
                    "linear_allow_neg_eigval": False,
                    "attention_bias": True,
                    "linear_num_key_heads": 2,
                    "linear_value_head_dim": 3,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE},
        v4_removed=V4_REMOVED,
        known_as="OLMo Hybrid",
    ),
    FamilyCases(
        "nemotron_h",
        "NemotronHConfig",
        "NemotronHForCausalLM",
        {
            **{key: value for key, value in SIZES.items() if key != "num_hidden_layers"},
            "head_dim": 8,
            **NEMOTRON,
        },
        (
            Case(
                "state, feed-forward block, attention, each a layer",
                {"layers_block_type": ["linear_attention", "mlp", "full_attention", "mlp"]},
            ),
            Case(
                "mixtures in groups, a factor, a shared block",
                {
                    "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"],
                    "n_routed_experts": 6,
                    "n_group": 3,
                    "topk_group": 2,
                    "routed_scaling_factor": 2.5,
                },
                full=True,
            ),
            Case(
                "time steps limited in prompts, biases, silu, ends with a state",
                {
                    "layers_block_type": ["full_attention", "mlp", "linear_attention"],
                    "time_step_min": 0.6,
                    "use_bias": True,
                    "mlp_bias": True,
                    "use_conv_bias": False,
                    "mlp_hidden_act": "silu",
                    "n_groups": 8,
                },
                full=True,
            ),
        ),
        v4={**TORCH, "hybrid_override_pattern": "M-*-", "num_hidden_layers": 4, "norm_eps": 1e-5},
        v4_removed=("dtype", "layers_block_type", "layer_types"),
        known_as="Nemotron-H, Nemotron Nano 2 and 3",
    ),
    FamilyCases(
        "granitemoehybrid",
        "GraniteMoeHybridConfig",
        "GraniteMoeHybridForCausalLM",
        {
            **SIZES,
            **MAMBA2,
            "num_local_experts": 0,
            "shared_intermediate_size": 40,
            "layer_types": ["linear_attention", "full_attention"],
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.2,
            "residual_multiplier": 0.5,
            "logits_scaling": 2.0,
        },
        (
            Case("Mamba 2 states, no positions, factors", {}),
            Case(
                "rope, biases, three tokens at once, tied head, states alone in the end",
                {
                    "position_embedding_type": "rope",
                    "attention_bias": True,
                    "mamba_proj_bias": True,
                    "mamba_conv_bias": False,
                    "mamba_d_conv": 3,
                    "tie_word_embeddings": True,
                    "layer_types": ["full_attention", "linear_attention"],
                },
                full=True,
            ),
            Case("mixtures beside the shared block", {"num_local_experts": 4}, full=True),
        ),
        v4={**V4_ROPE, "position_embedding_type": "nope", "layer_types": ["mamba", "attention"]},
        v4_removed=V4_REMOVED,
        known_as="Granite 4.0 H",
    ),
    FamilyCases(
        "falcon_h1",
        "FalconH1Config",
        "FalconH1ForCausalLM",
        {**SIZES, **MAMBA2, "mamba_d_ssm": 48},
        (
            Case(
                "attention and state in one layer, factors",
                {
                    "ssm_multipliers": [0.5, 2.0, 1.5, 0.7, 1.2],
                    "mlp_multipliers": [0.6, 1.5],
                    "key_multiplier": 0.7,
                    "attention_in_multiplier": 1.3,
                    "attention_out_multiplier": 0.8,
                    "ssm_in_multiplier": 1.25,
                    "ssm_out_multiplier": 0.9,
                    "lm_head_multiplier": 0.4,
                    "embedding_multiplier": 2.5,
                },
            ),
            Case(
                "norm behind the gate, biases, tied head",
                {
                    "mamba_rms_norm": True,
                    "mamba_norm_before_gate": False,
                    "projectors_bias": True,
                    "mamba_proj_bias": True,
                    "attention_bias": True,
                    "mlp_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
            Case(
                "norm before the gate, width from the hidden size",
                {"mamba_rms_norm": True, "mamba_d_ssm": None},
                full=True,
            ),
        ),
        v4={**V4_ROPE, "projectors_bias": False, "time_step_floor": 0.0001},
        v4_removed=V4_REMOVED,
        known_as="Falcon-H1",
    ),
    FamilyCases(
        "bamba",
        "BambaConfig",
        "BambaForCausalLM",
        {**SIZES, **MAMBA2, "attn_layer_indices": [1]},
        (
            Case("Mamba 2 states and attention, half of each head turns", {}, full=True),
            Case(
                "biases, one group, other limits, tied head",
                {
                    "attn_layer_indices": [0],
                    "attention_bias": True,
                    "mlp_bias": True,
                    "mamba_proj_bias": True,
                    "mamba_n_groups": 1,
                    "time_step_limit": [0.2, 0.9],
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "attn_rotary_emb": 16},
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="Bamba",
    ),
    FamilyCases(
        "mamba2",
        "Mamba2Config",
        "Mamba2ForCausalLM",
        {**STATE, "num_heads": 8, "head_dim": 8, "state_size": 6, "n_groups": 2, "chunk_size": 4},
        (
            Case("states alone", {}, full=True),
            Case(
                "biases, no convolution bias, tied head",
                {"use_bias": True, "use_conv_bias": False, "tie_word_embeddings": True, "conv_kernel": 2},
                full=True,
            ),
        ),
        v4={**TORCH, "rms_norm": True, "residual_in_fp32": True},
        v4_removed=("dtype",),
        known_as="Mamba 2, Codestral Mamba",
    ),
    FamilyCases(
        "mamba",
        "MambaConfig",
        "MambaForCausalLM",
        {**STATE, "state_size": 5},
        (
            Case("states alone", {}),
            Case(
                "time_step_rank, biases, head of its own",
                {
                    "time_step_rank": 3,
                    "use_bias": True,
                    "use_conv_bias": False,
                    "tie_word_embeddings": False,
                    "expand": 3,
                    "conv_kernel": 2,
                },
                full=True,
            ),
        ),
        v4={**TORCH, "d_model": 32, "ssm_cfg": {}, "fused_add_norm": True},
        v4_removed=("dtype", "tie_word_embeddings"),
        known_as="Mamba",
    ),
    FamilyCases(
        "falcon_mamba",
        "FalconMambaConfig",
        "FalconMambaForCausalLM",
        {**STATE, "state_size": 5},
        (
            Case("norms without weights", {}, full=True),
            Case(
                "mixer_rms_eps, biases, head of its own",
                {"mixer_rms_eps": 0.1, "use_bias": True, "tie_word_embeddings": False},
                full=True,
            ),
        ),
        v4=TORCH,
        v4_removed=("dtype",),
        known_as="Falcon Mamba",
    ),
    FamilyCases(
        "jamba",
        "JambaConfig",
        "JambaForCausalLM",
        {
            **SIZES,
            "num_hidden_layers": 4,
            "attn_layer_period": 3,
            "attn_layer_offset": 1,
            "num_experts": 4,
            "mamba_d_state": 5,
        },
        (
            Case("Mamba states, attention, mixtures", {}),
            Case(
                "biases, mamba_dt_rank, one expert, tied head",
                {
                    "mamba_proj_bias": True,
                    "mamba_conv_bias": False,
                    "mamba_dt_rank": 3,
                    "num_experts_per_tok": 1,
                    "expert_layer_period": 3,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**TORCH, "use_mamba_kernels": True, "mamba_inner_layernorms": True, "num_logits_to_keep": 1},
        v4_removed=("dtype",),
        known_as="Jamba",
    ),
)
