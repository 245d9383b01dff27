"""Cases of the decoder-only families that do not follow Llama's plan."""

from __future__ import annotations

from tests.families.case import VOCAB, Case, FamilyCases

V4 = {"torch_dtype": "float32", "gradient_checkpointing": False}
SUMMARY = {
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
}

MORE: tuple[FamilyCases, ...] = (
    FamilyCases(
        "bloom",
        "BloomConfig",
        "BloomForCausalLM",
        {"vocab_size": VOCAB, "hidden_size": 32, "n_layer": 2, "n_head": 4},
        (
            Case("4 heads", {}),
            Case(
                "6 heads (not a power of 2), untied head",
                {"hidden_size": 36, "n_head": 6, "tie_word_embeddings": False},
                full=True,
            ),
            Case(
                "apply_residual_connection_post_layernorm, pretraining_tp",
                {
                    "apply_residual_connection_post_layernorm": True,
                    "pretraining_tp": 2,
                    "layer_norm_epsilon": 1e-3,
                },
            ),
            Case("11 heads", {"hidden_size": 44, "n_head": 11}, full=True),
        ),
        v4={
            **V4,
            "n_embed": 32,
            "num_attention_heads": 4,
            "n_inner": None,
            "offset_alibi": 100,
            "seq_length": 2048,
            "attention_softmax_in_fp32": True,
            "bias_dropout_fusion": True,
            "masked_softmax_fusion": True,
            "skip_bias_add": True,
            "skip_bias_add_qkv": False,
            "unk_token_id": 0,
        },
        v4_removed=("dtype", "hidden_size", "n_head"),
        known_as="BLOOM, BLOOMZ",
    ),
    FamilyCases(
        "mpt",
        "MptConfig",
        "MptForCausalLM",
        {
            "vocab_size": VOCAB,
            "d_model": 32,
            "n_heads": 4,
            "n_layers": 2,
            "max_seq_len": 64,
            "use_cache": True,
        },
        (
            Case("4 heads", {}),
            Case(
                "6 heads, clip_qkv",
                {"d_model": 36, "n_heads": 6, "attn_config": {"clip_qkv": 0.5}},
                full=True,
            ),
            Case(
                "softmax_scale, untied head, epsilon",
                {
                    "attn_config": {"softmax_scale": 0.2},
                    "tie_word_embeddings": False,
                    "layer_norm_epsilon": 1e-3,
                },
                full=True,
            ),
        ),
        v4={
            "torch_dtype": "float32",
            "attn_config": {
                "alibi": True,
                "alibi_bias_max": 8,
                "attn_impl": "torch",
                "attn_pdrop": 0,
                "attn_type": "multihead_attention",
                "attn_uses_sequence_id": False,
                "clip_qkv": None,
                "prefix_lm": False,
                "qk_ln": False,
                "softmax_scale": None,
            },
            "init_config": {"name": "kaiming_normal_", "init_gain": 0},
            "tokenizer_name": "EleutherAI/gpt-neox-20b",
            "verbose": 0,
        },
        v4_removed=("dtype",),
        known_as="MPT",
    ),
    FamilyCases(
        "gptj",
        "GPTJConfig",
        "GPTJForCausalLM",
        {"vocab_size": VOCAB, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
        (
            Case("half of each head turns", {}),
            Case(
                "whole heads turn, n_inner, relu",
                {"rotary_dim": 8, "n_inner": 50, "activation_function": "relu"},
                full=True,
            ),
            Case(
                "tied head, epsilon",
                {"tie_word_embeddings": True, "rotary_dim": 2, "layer_norm_epsilon": 1e-3},
                full=True,
            ),
        ),
        v4={**V4, **SUMMARY, "n_ctx": 64, "rotary": True, "scale_attn_weights": True},
        v4_removed=("dtype", "tie_word_embeddings"),
        known_as="GPT-J",
    ),
    FamilyCases(
        "codegen",
        "CodeGenConfig",
        "CodeGenForCausalLM",
        {"vocab_size": VOCAB, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
        (
            Case("one head a block", {}),
            Case(
                "two heads a block, gelu",
                {"n_embd": 48, "n_head": 8, "activation_function": "gelu"},
                full=True,
            ),
            Case(
                "tied head, n_inner, whole heads turn",
                {"tie_word_embeddings": True, "n_inner": 40, "rotary_dim": 8},
                full=True,
            ),
        ),
        v4={**V4, **SUMMARY, "scale_attn_weights": True},
        v4_removed=("dtype",),
        known_as="CodeGen",
    ),
    FamilyCases(
        "gpt_neo",
        "GPTNeoConfig",
        "GPTNeoForCausalLM",
        {
            "vocab_size": VOCAB,
            "max_position_embeddings": 64,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
        },
        (
            Case("global and local attention", {}),
            Case(
                "local only, window longer than prompt",
                {"attention_types": [[["local"], 2]], "window_size": 15},
                full=True,
            ),
            Case("window of one, intermediate_size", {"window_size": 1, "intermediate_size": 50}, full=True),
            Case(
                "global only, untied head, relu",
                {
                    "attention_types": [[["global"], 2]],
                    "tie_word_embeddings": False,
                    "activation_function": "relu",
                },
                full=True,
            ),
        ),
        v4={**V4, **SUMMARY},
        v4_removed=("dtype", "attention_layers"),
        known_as="GPT-Neo",
    ),
    FamilyCases(
        "gpt_bigcode",
        "GPTBigCodeConfig",
        "GPTBigCodeForCausalLM",
        {"vocab_size": VOCAB, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
        (
            Case("multi_query", {}),
            Case("multi-head, n_inner", {"multi_query": False, "n_inner": 50}),
            Case(
                "unscaled attention, untied head, relu",
                {"scale_attn_weights": False, "tie_word_embeddings": False, "activation_function": "relu"},
                full=True,
            ),
        ),
        v4={**V4, **SUMMARY, "inference_runner": 0, "pad_key_length": True, "max_sequence_length": None},
        v4_removed=("dtype", "num_key_value_heads"),
        known_as="SantaCoder, StarCoder",
    ),
    FamilyCases(
        "xglm",
        "XGLMConfig",
        "XGLMForCausalLM",
        {
            "vocab_size": VOCAB,
            "max_position_embeddings": 64,
            "d_model": 32,
            "ffn_dim": 48,
            "num_layers": 2,
            "attention_heads": 4,
        },
        (
            Case("scaled embedding", {}),
            Case(
                "unscaled embedding, relu",
                {"scale_embedding": False, "activation_function": "relu"},
                full=True,
            ),
            Case(
                "untied head, 3 heads, pad_token_id 0",
                {"tie_word_embeddings": False, "d_model": 30, "attention_heads": 3, "pad_token_id": 0},
                full=True,
            ),
        ),
        v4=V4,
        v4_removed=("dtype",),
        known_as="XGLM",
    ),
    FamilyCases(
        "biogpt",
        "BioGptConfig",
        "BioGptForCausalLM",
        {
            "vocab_size": VOCAB,
            "max_position_embeddings": 64,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        },
        (
            Case("scaled embedding", {}),
            Case(
                "unscaled embedding, gelu_new",
                {"scale_embedding": False, "hidden_act": "gelu_new"},
                full=True,
            ),
            Case("untied head, 2 heads", {"tie_word_embeddings": False, "num_attention_heads": 2}, full=True),
        ),
        v4=V4,
        v4_removed=("dtype",),
        known_as="BioGPT (token ids only)",
    ),
)
