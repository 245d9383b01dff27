"""Cases of further mixtures of experts, with windows, gates or factors beside them."""

from __future__ import annotations

from tests.families.case import Case, FamilyCases
from tests.families.cases_kin import SIZES, V4_REMOVED, V4_ROPE

GRANITE = {
    **SIZES,
    "num_local_experts": 5,
    "num_experts_per_tok": 2,
    "embedding_multiplier": 2.0,
    "attention_multiplier": 0.3,
    "residual_multiplier": 0.5,
    "logits_scaling": 3.0,
}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "afmoe",
        "AfmoeConfig",
        "AfmoeForCausalLM",
        {
            **SIZES,
            "moe_intermediate_size": 20,
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "head_dim": 8,
            "global_attn_every_n_layers": 2,
            "sliding_window": 5,
        },
        (
            Case("gated attention, windows that turn, a dense layer", {}),
            Case(
                "mup_enabled, route_scale, one shared expert, biases, layer_types, tied head",
                {
                    "mup_enabled": True,
                    "route_scale": 2.5,
                    "num_shared_experts": 1,
                    "num_dense_layers": 0,
                    "attention_bias": True,
                    "layer_types": ["full_attention", "sliding_attention"],
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="Trinity",
    ),
    FamilyCases(
        "aria_text",
        "AriaTextConfig",
        "AriaTextForCausalLM",
        {**SIZES, "moe_num_experts": 5, "moe_topk": 2},
        (
            Case("two shared experts", {}),
            Case(
                "one shared expert, hidden_act, biases, head_dim, tied head",
                {
                    "moe_num_shared_experts": 1,
                    "hidden_act": "gelu",
                    "mlp_bias": True,
                    "attention_bias": True,
                    "head_dim": 12,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="Aria (text model)",
    ),
    FamilyCases(
        "cohere2_moe",
        "Cohere2MoeConfig",
        "Cohere2MoeForCausalLM",
        {
            **SIZES,
            "head_dim": 8,
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "sliding_window": 5,
            "sliding_window_pattern": 2,
        },
        (
            Case(
                "a dense layer that turns, a window, shared expert and the others on average",
                {
                    "first_k_dense_replace": 1,
                    "prefix_dense_intermediate_size": 40,
                    "num_shared_experts": 1,
                },
            ),
            Case(
                "sigmoid, no norm_topk_prob, sums, rms_norm_eps, biases, head of its own",
                {
                    "expert_selection_fn": "sigmoid",
                    "norm_topk_prob": False,
                    "num_shared_experts": 2,
                    "shared_expert_combination_strategy": "sum",
                    "rms_norm_eps": 1e-5,
                    "attention_bias": True,
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "first_k_dense_replace": 1},
        v4_removed=(*V4_REMOVED, "layer_types", "mlp_layer_types"),
        known_as="Command A mixtures",
    ),
    FamilyCases(
        "exaone_moe",
        "ExaoneMoeConfig",
        "ExaoneMoeForCausalLM",
        {
            **SIZES,
            "moe_intermediate_size": 20,
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "sliding_window": 5,
            "sliding_window_pattern": 2,
        },
        (
            Case("windows that turn, a dense layer, shared expert", {}),
            Case(
                "groups, no norm_topk_prob, mlp_layer_types, layer_types, tied head",
                {
                    "num_experts": 6,
                    "n_group": 3,
                    "topk_group": 2,
                    "norm_topk_prob": False,
                    "num_shared_experts": 2,
                    "mlp_layer_types": ["sparse", "dense"],
                    "layer_types": ["full_attention", "sliding_attention"],
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=(*V4_REMOVED, "layer_types", "mlp_layer_types"),
        known_as="K-EXAONE",
    ),
    FamilyCases(
        "flint",
        "FlintConfig",
        "FlintForCausalLM",
        {
            **SIZES,
            "moe_intermediate_size": 20,
            "shared_expert_intermediate_size": 24,
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "head_dim": 8,
            "sliding_window": 5,
        },
        (
            Case(
                "sinks, windows that turn, a dense layer",
                {"mlp_only_layers": [0], "layer_types": ["full_attention", "sliding_attention"]},
            ),
            Case(
                "no norm_topk_prob, decoder_sparse_step, biases, tied head",
                {
                    "num_hidden_layers": 4,
                    "norm_topk_prob": False,
                    "decoder_sparse_step": 2,
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="Flint",
    ),
    FamilyCases(
        "granitemoe",
        "GraniteMoeConfig",
        "GraniteMoeForCausalLM",
        GRANITE,
        (
            Case("multipliers", {}),
            Case(
                "one expert, biases, tied head",
                {"num_experts_per_tok": 1, "attention_bias": True, "tie_word_embeddings": True},
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="PowerMoE, Granite 3.0 3B-A800M",
    ),
    FamilyCases(
        "granitemoe_swa",
        "GraniteMoeSWAConfig",
        "GraniteMoeSWAForCausalLM",
        {**GRANITE, "sliding_window": 5},
        (
            Case("windows, sinks", {}),
            Case(
                "shared expert, layer_rope_theta, biases, tied head",
                {
                    "shared_intermediate_size": 24,
                    "layer_rope_theta": [0, 500.0],
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=(*V4_REMOVED, "layer_types", "layer_rope_theta"),
        known_as="Granite mixtures with windows",
    ),
    FamilyCases(
        "granitemoeshared",
        "GraniteMoeSharedConfig",
        "GraniteMoeSharedForCausalLM",
        GRANITE,
        (
            Case("shared expert", {"shared_intermediate_size": 24}),
            Case("no shared expert, tied head", {"tie_word_embeddings": True}, full=True),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="Granite mixtures with a shared expert",
    ),
    FamilyCases(
        "hunyuan_v1_moe",
        "HunYuanMoEV1Config",
        "HunYuanMoEV1ForCausalLM",
        {**SIZES, "num_experts": 5, "moe_topk": 2, "head_dim": 8},
        (
            Case("norms behind the rotation, shared expert", {}),
            Case(
                "moe_topk of each layer, dynamic rope with an alpha, biases, tied head",
                {
                    "moe_topk": [1, 3],
                    "attention_bias": True,
                    "rope_parameters": {
                        "rope_type": "dynamic",
                        "rope_theta": 10000.0,
                        "alpha": 100.0,
                        "factor": 1.0,
                    },
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="Hunyuan-A13B",
    ),
    FamilyCases(
        "hy_v3",
        "HYV3Config",
        "HYV3ForCausalLM",
        {**SIZES, "moe_intermediate_size": 20, "num_experts": 5, "num_experts_per_tok": 2, "head_dim": 8},
        (
            Case("a dense layer, shared expert", {}),
            Case(
                "mlp_layer_types, two shared experts, biases, tied head",
                {
                    "mlp_layer_types": ["sparse", "dense"],
                    "num_shared_experts": 2,
                    "attention_bias": True,
                    "mlp_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "rope_theta": 11158840.0},
        v4_removed=(*V4_REMOVED, "mlp_layer_types"),
        known_as="Hy3",
    ),
    FamilyCases(
        "mellum",
        "MellumConfig",
        "MellumForCausalLM",
        {
            **SIZES,
            "moe_intermediate_size": 20,
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "head_dim": 8,
            "sliding_window": 5,
        },
        (
            Case("a window", {"layer_types": ["full_attention", "sliding_attention"]}),
            Case(
                "mlp_layer_types, no norm_topk_prob, yarn, biases, tied head",
                {
                    "mlp_layer_types": ["dense", "sparse"],
                    "norm_topk_prob": False,
                    "attention_bias": True,
                    "rope_parameters": {
                        "full_attention": {
                            "rope_type": "yarn",
                            "rope_theta": 1000.0,
                            "factor": 4.0,
                            "original_max_position_embeddings": 16,
                        },
                        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                    },
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={"torch_dtype": "float32"},
        v4_removed=("dtype", "mlp_layer_types"),
        known_as="Mellum 2",
    ),
)
