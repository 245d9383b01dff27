"""Cases of mixtures of experts."""

from __future__ import annotations

from tests.families.case import Case, FamilyCases
from tests.families.cases_kin import SIZES, V4_REMOVED, V4_ROPE

QWEN = {**SIZES, "moe_intermediate_size": 20, "num_experts": 5, "num_experts_per_tok": 2}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "mixtral",
        "MixtralConfig",
        "MixtralForCausalLM",
        {**SIZES, "num_local_experts": 4},
        (
            Case("two of four experts", {}),
            Case(
                "sliding_window, one expert, gelu",
                {"sliding_window": 5, "num_experts_per_tok": 1, "hidden_act": "gelu"},
                full=True,
            ),
            Case(
                "all of three experts, head_dim, tied head",
                {
                    "num_local_experts": 3,
                    "num_experts_per_tok": 3,
                    "head_dim": 12,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 1000000.0},
        v4_removed=(*V4_REMOVED, "head_dim", "router_jitter_noise"),
        known_as="Mixtral",
    ),
    FamilyCases(
        "qwen2_moe",
        "Qwen2MoeConfig",
        "Qwen2MoeForCausalLM",
        {**QWEN, "shared_expert_intermediate_size": 24},
        (
            Case("shared expert", {}),
            Case(
                "norm_topk_prob, mlp_only_layers, no biases",
                {
                    "norm_topk_prob": True,
                    "mlp_only_layers": [0],
                    "qkv_bias": False,
                },
            ),
            Case(
                "use_sliding_window, decoder_sparse_step, tied head",
                {
                    "use_sliding_window": True,
                    "sliding_window": 5,
                    "decoder_sparse_step": 2,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "sliding_window": 4096},
        v4_removed=(*V4_REMOVED, "layer_types", "mlp_only_layers", "qkv_bias"),
        known_as="Qwen1.5-MoE, Qwen2-57B-A14B",
    ),
    FamilyCases(
        "qwen3_moe",
        "Qwen3MoeConfig",
        "Qwen3MoeForCausalLM",
        {**QWEN, "head_dim": 12},
        (
            Case("head_dim", {}),
            Case(
                "norm_topk_prob, mlp_only_layers, biases",
                {
                    "norm_topk_prob": True,
                    "mlp_only_layers": [1],
                    "attention_bias": True,
                },
                full=True,
            ),
            Case(
                "use_sliding_window, 9 experts, tied head",
                {
                    "use_sliding_window": True,
                    "sliding_window": 5,
                    "num_experts": 9,
                    "num_experts_per_tok": 4,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "num_experts": 5, "max_window_layers": 2},
        v4_removed=(*V4_REMOVED, "num_local_experts"),
        known_as="Qwen3-30B-A3B, Qwen3-235B-A22B",
    ),
    FamilyCases(
        "gpt_oss",
        "GptOssConfig",
        "GptOssForCausalLM",
        {**SIZES, "head_dim": 8, "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 5},
        (
            Case("windowed and full layers, sinks, yarn", {}),
            Case(
                "no attention biases, tied head",
                {"attention_bias": False, "tie_word_embeddings": True},
                full=True,
            ),
            Case(
                "full layers only, default rope, all experts",
                {
                    "layer_types": ["full_attention"] * 2,
                    "num_experts_per_tok": 5,
                    "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
                },
                full=True,
            ),
        ),
        v4={
            "torch_dtype": "float32",
            "rope_theta": 150000.0,
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 32.0,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
                "original_max_position_embeddings": 4096,
            },
            "experts_per_token": 2,
            "initial_context_length": 4096,
        },
        v4_removed=(*V4_REMOVED, "swiglu_alpha"),
        known_as="gpt-oss (experts in MXFP4 or unquantised)",
    ),
)
