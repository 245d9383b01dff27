"""Cases of families with multi-head latent attention."""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases_kin import PAD, V4_REMOVED, V4_ROPE

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "kv_lora_rank": 16,
    "q_lora_rank": 20,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 6,
    "v_head_dim": 10,
}
MIXTURE: dict[str, Any] = {
    **SIZES,
    "moe_intermediate_size": 20,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
GROUPS = {"n_group": 3, "topk_group": 2}
YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 1000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 0.7,
    "mscale_all_dim": 1.3,
}
#: What DeepSeek's own code reads and the reference's class does not.
OWN_CODE = {"ep_size": 1, "moe_layer_freq": 1, "seq_aux": True, "aux_loss_alpha": 0.001, "pretraining_tp": 1}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "axk1",
        "AXK1Config",
        "AXK1ForCausalLM",
        {key: value for key, value in {**MIXTURE, **GROUPS}.items() if key != "first_k_dense_replace"},
        (
            Case("a norm behind the mixture, groups of experts", {}),
            Case(
                "mlp_layer_types, yarn with mscale_all_dim",
                {"mlp_layer_types": ["sparse", "dense"], "rope_parameters": YARN},
                full=True,
            ),
            Case(
                "halves turn, unnormalised weights, biases, tied head",
                {
                    "rope_interleave": False,
                    "norm_topk_prob": False,
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "first_k_dense_replace": 1, "moe_layer_freq": 1, "topk_method": "noaux_tc"},
        v4_removed=(*V4_REMOVED, "mlp_layer_types"),
        known_as="A.X-K1",
    ),
    FamilyCases(
        "deepseek_v2",
        "DeepseekV2Config",
        "DeepseekV2ForCausalLM",
        {**MIXTURE, "n_shared_experts": 2, "n_group": 1, "topk_group": 1},
        (
            Case("greedy experts, whole queries (V2-Lite)", {"q_lora_rank": None}),
            Case(
                "group_limited_greedy, routed_scaling_factor, yarn with mscale_all_dim (V2)",
                {
                    **GROUPS,
                    "topk_method": "group_limited_greedy",
                    "routed_scaling_factor": 2.0,
                    "rope_parameters": YARN,
                },
                full=True,
            ),
            Case(
                "all layers mixed, biases, tied head",
                {
                    "first_k_dense_replace": 0,
                    "attention_bias": True,
                    "mlp_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, **OWN_CODE, "scoring_func": "softmax", "head_dim": 64},
        v4_removed=V4_REMOVED,
        known_as="DeepSeek-V2, DeepSeek-V2-Lite, DeepSeek-Coder-V2",
    ),
    FamilyCases(
        "deepseek_v3",
        "DeepseekV3Config",
        "DeepseekV3ForCausalLM",
        {**MIXTURE, **GROUPS},
        (
            Case("groups of experts, correction, yarn with mscale_all_dim", {"rope_parameters": YARN}),
            Case(
                "whole queries, halves turn, unnormalised weights, biases",
                {
                    "q_lora_rank": None,
                    "rope_interleave": False,
                    "norm_topk_prob": False,
                    "attention_bias": True,
                },
                full=True,
            ),
            Case(
                "no groups, two shared experts, all mixed, rope linear, tied head (Kimi K2, Moonlight)",
                {
                    "n_group": 1,
                    "topk_group": 1,
                    "n_shared_experts": 2,
                    "first_k_dense_replace": 0,
                    "rope_parameters": {"rope_type": "linear", "factor": 2.0, "mscale_all_dim": 0.5},
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={
            "torch_dtype": "float32",
            **OWN_CODE,
            "rope_theta": 1000.0,
            "rope_scaling": {
                **{key: value for key, value in YARN.items() if key not in ("rope_type", "rope_theta")},
                "type": "yarn",
            },
            "scoring_func": "sigmoid",
            "topk_method": "noaux_tc",
            "num_nextn_predict_layers": 1,
        },
        v4_removed=V4_REMOVED,
        known_as="DeepSeek-V3, DeepSeek-R1, Moonlight; Kimi K2 (model_type `kimi_k2`)",
    ),
    FamilyCases(
        "glm4_moe_lite",
        "Glm4MoeLiteConfig",
        "Glm4MoeLiteForCausalLM",
        {key: value for key, value in MIXTURE.items() if key != "first_k_dense_replace"},
        (
            Case("a dense layer and a mixture, correction", {}),
            Case(
                "groups, mlp_layer_types, whole queries, yarn",
                {
                    **GROUPS,
                    "mlp_layer_types": ["sparse", "dense"],
                    "q_lora_rank": None,
                    "rope_parameters": YARN,
                },
                full=True,
            ),
            Case(
                "halves turn, unnormalised weights, biases, tied head",
                {
                    "rope_interleave": False,
                    "norm_topk_prob": False,
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={
            **V4_ROPE,
            "first_k_dense_replace": 1,
            "num_nextn_predict_layers": 1,
            "partial_rotary_factor": 1.0,
            "topk_method": "noaux_tc",
        },
        v4_removed=(*V4_REMOVED, "mlp_layer_types"),
        known_as="GLM-4.7-Flash",
    ),
    FamilyCases(
        "minicpm3",
        "MiniCPM3Config",
        "MiniCPM3ForCausalLM",
        {**SIZES, "dim_model_base": 20},
        (
            Case("scaled embedding, branches and logits", {}),
            Case(
                "whole queries, biases, untied head, no scales",
                {
                    "q_lora_rank": None,
                    "attention_bias": True,
                    "mlp_bias": True,
                    "tie_word_embeddings": False,
                    "scale_emb": 1,
                    "scale_depth": None,
                    "dim_model_base": None,
                },
                full=True,
            ),
            Case(
                "v_head_dim from the hidden size, yarn with mscale_all_dim, gelu",
                {"v_head_dim": None, "rope_parameters": YARN, "hidden_act": "gelu"},
                full=True,
            ),
        ),
        v4={**V4_ROPE, "head_dim": 8, "mup_denominator": 32},
        v4_removed=V4_REMOVED,
        known_as="MiniCPM3",
    ),
    FamilyCases(
        "mistral4",
        "Mistral4Config",
        "Mistral4ForCausalLM",
        {**MIXTURE, **PAD},
        (
            Case(
                "queries that grow with their position, yarn",
                {
                    "rope_parameters": {
                        **YARN,
                        "original_max_position_embeddings": 5,
                        "llama_4_scaling_beta": 0.3,
                    }
                },
            ),
            Case(
                "default yarn, groups, whole queries, halves turn",
                {**GROUPS, "q_lora_rank": None, "rope_interleave": False},
                full=True,
            ),
            Case(
                "all layers mixed, unnormalised weights, biases, tied head",
                {
                    "first_k_dense_replace": 0,
                    "norm_topk_prob": False,
                    "routed_scaling_factor": 1.7,
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={
            "torch_dtype": "float32",
            "rope_theta": 1000.0,
            "rope_scaling": {
                **{key: value for key, value in YARN.items() if key not in ("rope_type", "rope_theta")},
                "type": "yarn",
                "original_max_position_embeddings": 5,
                "llama_4_scaling_beta": 0.3,
                "partial_rotary_factor": 6 / 14,
            },
        },
        v4_removed=V4_REMOVED,
        known_as="Mistral Small 4 (text)",
    ),
    FamilyCases(
        "sarvam_mla",
        "SarvamMLAConfig",
        "DeepseekV3ForCausalLM",
        MIXTURE,
        (
            Case("whole queries, a correction", {"q_lora_rank": None}),
            Case("groups, yarn with mscale_all_dim", {**GROUPS, "rope_parameters": YARN}, full=True),
            Case(
                "two shared experts, halves turn, biases, tied head",
                {
                    "n_shared_experts": 2,
                    "rope_interleave": False,
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "q_head_dim": 14, "head_dim": 22, "num_nextn_predict_layers": 0},
        v4_removed=V4_REMOVED,
        known_as="Sarvam-105B",
    ),
    FamilyCases(
        "youtu",
        "YoutuConfig",
        "YoutuForCausalLM",
        SIZES,
        (
            Case("pairs of neighbours turn, tied head", {}),
            Case(
                "whole queries, halves turn, biases, untied head",
                {
                    "q_lora_rank": None,
                    "rope_interleave": False,
                    "attention_bias": True,
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
            Case(
                "rope dynamic, gelu",
                {
                    "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 100.0},
                    "max_position_embeddings": 8,
                    "hidden_act": "gelu",
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "embedding_initializer_range": 0.1},
        v4_removed=V4_REMOVED,
        known_as="Youtu-LLM",
    ),
)
