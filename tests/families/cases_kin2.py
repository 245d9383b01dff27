"""Cases of the second wave of families near Llama's and GPT's plans."""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases_kin import PAD, SIZES, V4_REMOVED, V4_ROPE
from tests.families.cases_llama import LLAMA3, rope
from tests.families.cases_more import SUMMARY

GPT_SIZES = {"vocab_size": VOCAB, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
MULTI_HEAD = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
HALF = {**V4_ROPE, "partial_rotary_factor": 0.5}
BIASES = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}
BIASES_TEXT = "biases, tied head"


def theta(value: float, **scaling: Any) -> dict[str, Any]:
    """Rotary parameters as version 4 writes them."""
    return {"torch_dtype": "float32", "rope_theta": value, "rope_scaling": scaling or None}


CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "glm",
        "GlmConfig",
        "GlmForCausalLM",
        {**SIZES, **PAD, "head_dim": 12},
        (
            Case("half of each head turns, neighbours in pairs", {}),
            Case(
                "no attention_bias, tied head, whole heads turn",
                {
                    "attention_bias": False,
                    "tie_word_embeddings": True,
                    **rope("default", partial_rotary_factor=1.0),
                },
                full=True,
            ),
        ),
        v4=HALF,
        v4_removed=V4_REMOVED,
        known_as="GLM-4 9B, GLM-Edge",
    ),
    FamilyCases(
        "glm4",
        "Glm4Config",
        "Glm4ForCausalLM",
        {**SIZES, **PAD, "head_dim": 12},
        (
            Case("norms around both branches", {}),
            Case(
                "no attention_bias, tied head, multi-query",
                {"attention_bias": False, "tie_word_embeddings": True, "num_key_value_heads": 1},
                full=True,
            ),
        ),
        v4=HALF,
        v4_removed=V4_REMOVED,
        known_as="GLM-4 0414, GLM-Z1",
    ),
    FamilyCases(
        "exaone",
        "ExaoneConfig",
        "LlamaForCausalLM",
        SIZES,
        (
            Case("names of its own", {}, full=True),
            Case(BIASES_TEXT, BIASES, full=True),
        ),
        v4={**theta(500000.0), "num_layers": 2, "layer_norm_epsilon": 1e-5, "activation_function": "silu"},
        v4_removed=(*V4_REMOVED, "num_hidden_layers", "rms_norm_eps", "hidden_act"),
        known_as="EXAONE 3.0 and 3.5",
    ),
    FamilyCases(
        "exaone4",
        "Exaone4Config",
        "Exaone4ForCausalLM",
        {**SIZES, "num_hidden_layers": 4, "sliding_window": 5},
        (
            Case("three windowed layers and one without positions", {}),
            Case(
                "no windows: all layers turn; tied head",
                {
                    "num_hidden_layers": 2,
                    "sliding_window": None,
                    "layer_types": ["full_attention"] * 2,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "sliding_window_pattern": "LLLG"},
        v4_removed=V4_REMOVED,
        known_as="EXAONE 4",
    ),
    FamilyCases(
        "nemotron",
        "NemotronConfig",
        "NemotronForCausalLM",
        SIZES,
        (
            Case("norms of scale - 1, squared relu", {}),
            Case(f"head_dim, {BIASES_TEXT}", {**BIASES, "head_dim": 12}, full=True),
        ),
        v4=HALF,
        v4_removed=V4_REMOVED,
        known_as="Nemotron 3 and 4, Minitron",
    ),
    FamilyCases(
        "ernie4_5",
        "Ernie4_5Config",
        "Ernie4_5ForCausalLM",
        {**SIZES, "head_dim": 12},
        (
            Case("interleaved rotary", {}),
            Case(
                "use_bias, untied head, multi-query",
                {"use_bias": True, "tie_word_embeddings": False, "num_key_value_heads": 1},
                full=True,
            ),
        ),
        v4=theta(500000.0),
        v4_removed=V4_REMOVED,
        known_as="ERNIE 4.5 0.3B",
    ),
    FamilyCases(
        "hunyuan_v1_dense",
        "HunYuanDenseV1Config",
        "HunYuanDenseV1ForCausalLM",
        {**SIZES, "head_dim": 12},
        (
            Case(
                "norms behind the rotation, rope dynamic with alpha",
                rope("dynamic", alpha=1000.0, factor=1.0),
            ),
            Case(
                "rope default, attention_bias, tied head",
                {**rope("default"), "attention_bias": True, "tie_word_embeddings": True},
                full=True,
            ),
        ),
        v4=theta(
            10000.0,
            alpha=1000.0,
            beta_fast=32,
            beta_slow=1,
            factor=1.0,
            mscale=1.0,
            mscale_all_dim=1.0,
            type="dynamic",
        ),
        v4_removed=V4_REMOVED,
        known_as="Hunyuan 0.5B to 7B, Hunyuan-MT",
    ),
    FamilyCases(
        "helium",
        "HeliumConfig",
        "HeliumForCausalLM",
        {**SIZES, **PAD, "head_dim": 8},
        (
            Case("interleaved rotary, norms scaled in float32", {}),
            Case(BIASES_TEXT, BIASES, full=True),
        ),
        v4=theta(100000.0),
        v4_removed=V4_REMOVED,
        known_as="Helium 1",
    ),
    FamilyCases(
        "apertus",
        "ApertusConfig",
        "ApertusForCausalLM",
        {**SIZES, **PAD},
        (
            Case("learned activation, rope llama3", {}),
            Case(
                "squared relu, rope default, attention_bias, tied head",
                {
                    "hidden_act": "relu2",
                    "attention_bias": True,
                    "tie_word_embeddings": True,
                    **rope("default"),
                },
                full=True,
            ),
        ),
        v4=theta(12000000.0, **{**LLAMA3, "original_max_position_embeddings": 8192}, rope_type="llama3"),
        v4_removed=V4_REMOVED,
        known_as="Apertus",
    ),
    FamilyCases(
        "apertus1p5_text",
        "Apertus1p5TextConfig",
        "Apertus1p5TextForCausalLM",
        {**SIZES, **PAD},
        (
            Case("learned activation, rope llama3", {}, full=True),
            Case(
                "attention_bias, tied head, output_vocab_size",
                {"attention_bias": True, "tie_word_embeddings": True, "output_vocab_size": VOCAB},
                full=True,
            ),
        ),
        v4=theta(12000000.0, **{**LLAMA3, "original_max_position_embeddings": 8192}, rope_type="llama3"),
        v4_removed=V4_REMOVED,
        known_as="Apertus 1.5 (text)",
    ),
    FamilyCases(
        "arcee",
        "ArceeConfig",
        "ArceeForCausalLM",
        SIZES,
        (
            Case("plain blocks of squared relu", {}),
            Case(f"head_dim, {BIASES_TEXT}", {**BIASES, "head_dim": 12}, full=True),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="Arcee AFM",
    ),
    FamilyCases(
        "cwm",
        "CwmConfig",
        "CwmForCausalLM",
        {**SIZES, "head_dim": 12, "sliding_window": 5},
        (
            Case("a layer that sees all and a windowed one, rope llama3", {}),
            Case(
                "layer_types, rope default, mlp_bias, tied head",
                {
                    "layer_types": ["sliding_attention", "full_attention"],
                    "mlp_bias": True,
                    "tie_word_embeddings": True,
                    **rope("default"),
                },
                full=True,
            ),
        ),
        v4=theta(
            1000000.0,
            **{**LLAMA3, "factor": 16.0, "original_max_position_embeddings": 8192},
            rope_type="llama3",
        ),
        v4_removed=V4_REMOVED,
        known_as="Code World Model",
    ),
    FamilyCases(
        "nanochat",
        "NanoChatConfig",
        "NanoChatForCausalLM",
        SIZES,
        (
            Case("norms without weights, heads turn backwards, soft cap", {}),
            Case(
                "no soft cap, attention_bias, tied head",
                {"final_logit_softcapping": None, "attention_bias": True, "tie_word_embeddings": True},
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="nanochat",
    ),
    FamilyCases(
        "jais2",
        "Jais2Config",
        "Jais2ForCausalLM",
        SIZES,
        (
            Case("LayerNorm, squared relu, biases", {}),
            Case(
                "no biases, head_dim, tied head",
                {"attention_bias": False, "mlp_bias": False, "head_dim": 12, "tie_word_embeddings": True},
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="Jais 2",
    ),
    FamilyCases(
        "ministral",
        "MinistralConfig",
        "MinistralForCausalLM",
        {**SIZES, "head_dim": 12, "sliding_window": 5},
        (
            Case("all layers windowed", {}, full=True),
            Case(
                "layer_types, tied head",
                {
                    "layer_types": ["full_attention", "sliding_attention"],
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="Ministral 8B",
    ),
    FamilyCases(
        "internlm3",
        "InternLM3Config",
        "LlamaForCausalLM",
        {**SIZES, **PAD, "head_dim": 12},
        (
            Case("head_dim", {}, full=True),
            Case(BIASES_TEXT, BIASES, full=True),
        ),
        v4={**V4_ROPE, "qkv_bias": False, "bias": False},
        v4_removed=(*V4_REMOVED, "attention_bias", "mlp_bias"),
        known_as="InternLM 3",
    ),
    FamilyCases(
        "iquestcoder",
        "IQuestCoderConfig",
        "LlamaForCausalLM",
        {**SIZES, "head_dim": 12},
        (
            Case("head_dim", {}, full=True),
            Case(BIASES_TEXT, BIASES, full=True),
        ),
        v4={**V4_ROPE, "clip_qkv": None, "use_sliding_window": False},
        v4_removed=V4_REMOVED,
        known_as="IQuest Coder V1",
    ),
    FamilyCases(
        "hyperclovax",
        "HyperCLOVAXConfig",
        "HyperCLOVAXForCausalLM",
        SIZES,
        (
            Case(
                "all multipliers, norms around both branches",
                {
                    "attention_multiplier": 0.3,
                    "embedding_multiplier": 12.0,
                    "logits_scaling": 0.125,
                    "residual_multiplier": 0.22,
                },
            ),
            Case(f"no use_post_norm, {BIASES_TEXT}", {**BIASES, "use_post_norm": False}, full=True),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="HyperCLOVA X SEED",
    ),
    FamilyCases(
        "granite_swa",
        "GraniteSWAConfig",
        "GraniteSWAForCausalLM",
        {**SIZES, "attention_multiplier": 0.3, "sliding_window": 5},
        (
            Case("a layer that sees all and a windowed one, sinks", {}),
            Case(
                "layer_rope_theta, layer_types, all multipliers, biases, untied head",
                {
                    "layer_rope_theta": [0, 1000.0],
                    "layer_types": ["sliding_attention", "full_attention"],
                    "embedding_multiplier": 12.0,
                    "logits_scaling": 8.0,
                    "residual_multiplier": 0.22,
                    "attention_bias": True,
                    "mlp_bias": True,
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=(*V4_REMOVED, "layer_types", "layer_rope_theta"),
        known_as="Granite with sliding windows and sinks",
    ),
    FamilyCases(
        "vaultgemma",
        "VaultGemmaConfig",
        "VaultGemmaForCausalLM",
        {**SIZES, **PAD, "head_dim": 12, "sliding_window": 4, "query_pre_attn_scalar": 10},
        (
            Case(
                "soft caps, alternating windows, no norms behind the branches",
                {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0},
            ),
            Case(
                "no soft caps, layer_types, attention_bias",
                {
                    "attn_logit_softcapping": None,
                    "final_logit_softcapping": None,
                    "layer_types": ["full_attention", "sliding_attention"],
                    "attention_bias": True,
                },
                full=True,
            ),
        ),
        v4={**V4_ROPE, "cache_implementation": "hybrid"},
        v4_removed=(*V4_REMOVED, "layer_types"),
        known_as="VaultGemma",
    ),
    FamilyCases(
        "persimmon",
        "PersimmonConfig",
        "PersimmonForCausalLM",
        MULTI_HEAD,
        (
            Case("query and key norms with biases", {}),
            Case(
                "no qk_layernorm, whole heads turn, tied head",
                {
                    "qk_layernorm": False,
                    "tie_word_embeddings": True,
                    **rope("default", partial_rotary_factor=1.0),
                },
                full=True,
            ),
        ),
        v4=HALF,
        v4_removed=V4_REMOVED,
        known_as="Persimmon 8B",
    ),
    FamilyCases(
        "gpt_neox_japanese",
        "GPTNeoXJapaneseConfig",
        "GPTNeoXJapaneseForCausalLM",
        {key: value for key, value in MULTI_HEAD.items() if key != "intermediate_size"},
        (
            Case("a bias behind the last layer's attention", {}),
            Case(
                "half of each head turns, untied head, relu",
                {
                    "rotary_pct": 0.5,
                    "rotary_emb_base": 1000,
                    "intermediate_multiple_size": 2,
                    "hidden_act": "relu",
                    "tie_word_embeddings": False,
                },
                full=True,
            ),
        ),
        v4={"torch_dtype": "float32", "rotary_emb_base": 10000, "rotary_pct": 1.0},
        v4_removed=V4_REMOVED,
        known_as="GPT-NeoX Japanese",
    ),
    FamilyCases(
        "openai-gpt",
        "OpenAIGPTConfig",
        "OpenAIGPTLMHeadModel",
        GPT_SIZES,
        (
            Case("norms behind the branches, no final norm", {}),
            Case(
                "relu, untied head, epsilon",
                {"afn": "relu", "tie_word_embeddings": False, "layer_norm_epsilon": 1e-3},
                full=True,
            ),
        ),
        v4={**SUMMARY, "torch_dtype": "float32", "n_ctx": 64, "n_special": 0, "predict_special_tokens": True},
        v4_removed=("dtype",),
        known_as="GPT (2018)",
    ),
    FamilyCases(
        "ctrl",
        "CTRLConfig",
        "CTRLLMHeadModel",
        {**GPT_SIZES, "dff": 48},
        (
            Case("scaled embedding, sines and cosines", {}),
            Case(
                "untied head, 2 heads, epsilon",
                {"tie_word_embeddings": False, "n_head": 2, "layer_norm_epsilon": 1e-3},
                full=True,
            ),
        ),
        v4={**SUMMARY, "torch_dtype": "float32", "n_ctx": 64, "attn_pdrop": 0.1, "from_tf": False},
        v4_removed=("dtype",),
        known_as="CTRL",
    ),
    FamilyCases(
        "modernbert-decoder",
        "ModernBertDecoderConfig",
        "ModernBertDecoderForCausalLM",
        {**MULTI_HEAD, **PAD, "local_attention": 10},
        (
            Case("a layer that sees all and a windowed one, two rotary bases, a block before the logits", {}),
            Case(
                "biases, untied head, layer_types",
                {
                    "norm_bias": True,
                    "attention_bias": True,
                    "mlp_bias": True,
                    "classifier_bias": True,
                    "decoder_bias": False,
                    "classifier_activation": "silu",
                    "tie_word_embeddings": False,
                    "layer_types": ["sliding_attention", "full_attention"],
                },
                full=True,
            ),
        ),
        v4={
            "torch_dtype": "float32",
            "global_rope_theta": 160000.0,
            "local_rope_theta": 10000.0,
            "global_attn_every_n_layers": 3,
        },
        v4_removed=(*V4_REMOVED, "layer_types", "sliding_window"),
        known_as="Ettin decoders",
    ),
    FamilyCases(
        "diffllama",
        "DiffLlamaConfig",
        "DiffLlamaForCausalLM",
        SIZES,
        (
            Case("differential attention, grouped heads", {}),
            Case(
                "attention_bias, head_dim, multi-head, tied head",
                {
                    "attention_bias": True,
                    "head_dim": 12,
                    "num_key_value_heads": 4,
                    "tie_word_embeddings": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="DiffLlama",
    ),
    FamilyCases(
        "seed_oss",
        "SeedOssConfig",
        "SeedOssForCausalLM",
        {**SIZES, "head_dim": 12},
        (
            Case("defaults", {}),
            Case(
                "tie_word_embeddings, no attention_bias, attention_out_bias, mlp_bias",
                {
                    "tie_word_embeddings": True,
                    "attention_bias": False,
                    "attention_out_bias": True,
                    "mlp_bias": True,
                },
                full=True,
            ),
        ),
        v4=V4_ROPE,
        v4_removed=V4_REMOVED,
        known_as="Seed-OSS 36B",
    ),
)
