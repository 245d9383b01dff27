"""Tiny configurations of every encoder-decoder family, in the form of ``tests.families.case``."""

from __future__ import annotations

from tests.families.case import VOCAB, Case, FamilyCases

_T5_SIZES = {
    "vocab_size": VOCAB,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}

_BART_SIZES = {
    "vocab_size": VOCAB,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "max_position_embeddings": 64,
}
_UNEVEN = {
    "d_model": 24,
    "encoder_layers": 3,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 3,
    "activation_function": "relu",
}
_UNEVEN_TEXT = "3 + 1 layers, 2 and 3 heads, relu"
# An older common config class's keys, and generation options, as the first checkpoints' config.json has them.
_OLD_KEYS = {
    "torch_dtype": "float32",
    "output_past": True,
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "classif_dropout": 0.0,
    "extra_pos_embeddings": 2,
    "normalize_before": False,
    "normalize_embedding": True,
    "static_position_embeddings": False,
    "gradient_checkpointing": False,
    "num_hidden_layers": 2,
    "early_stopping": True,
    "length_penalty": 2.0,
    "max_length": 142,
    "min_length": 56,
    "no_repeat_ngram_size": 3,
    "num_beams": 4,
    "prefix": " ",
}

_MODULE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "sliding_window": 3,
    "query_pre_attn_scalar": 10,
}
_SMALL_MODULE = {**_MODULE, "hidden_size": 24, "num_hidden_layers": 2, "head_dim": 6}
_PLAIN_MODULE = {
    **_MODULE,
    "layer_types": ["full_attention"] * 3,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "attention_bias": True,
}
_OLD_MODULE = {**_MODULE, "rope_theta": 10000.0, "dropout_rate": 0.0, "model_type": "t5_gemma_module"}

FAMILIES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "t5",
        "T5Config",
        "T5ForConditionalGeneration",
        _T5_SIZES,
        (
            Case("relu, scaled logits", {}),
            Case(
                "v1.1: gated-gelu, logits not scaled",
                {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
            ),
            Case(
                "4 + 1 layers, 3 heads of 10, 8 buckets up to 9",
                {
                    "num_layers": 4,
                    "num_decoder_layers": 1,
                    "num_heads": 3,
                    "d_kv": 10,
                    "relative_attention_num_buckets": 8,
                    "relative_attention_max_distance": 9,
                },
            ),
            Case("gated-silu, epsilon", {"feed_forward_proj": "gated-silu", "layer_norm_epsilon": 1e-3}),
        ),
        v4={
            "n_positions": 512,
            "output_past": True,
            "torch_dtype": "float32",
            "task_specific_params": {"summarization": {"prefix": "summarize: ", "num_beams": 4}},
        },
        v4_removed=("dtype", "dense_act_fn", "is_gated_act", "scale_decoder_outputs"),
        known_as="T5, T5 v1.1, Flan-T5, ByT5",
    ),
    FamilyCases(
        "mt5",
        "MT5Config",
        "MT5ForConditionalGeneration",
        _T5_SIZES,
        (
            Case("gated-gelu, logits not scaled", {}),
            Case("relu", {"feed_forward_proj": "relu"}),
            Case("1 + 3 layers", {"num_layers": 1, "num_decoder_layers": 3}),
        ),
        v4={"tie_word_embeddings": False, "output_past": True, "tokenizer_class": "T5Tokenizer"},
        v4_removed=("dtype", "dense_act_fn", "is_gated_act"),
        known_as="mT5",
    ),
    FamilyCases(
        "umt5",
        "UMT5Config",
        "UMT5ForConditionalGeneration",
        _T5_SIZES,
        (
            Case("a table of relative biases in every layer", {}),
            Case(
                "relu, 3 + 2 layers", {"feed_forward_proj": "relu", "num_layers": 3, "num_decoder_layers": 2}
            ),
            Case(
                "12 buckets up to 20",
                {"relative_attention_num_buckets": 12, "relative_attention_max_distance": 20},
            ),
        ),
        v4={"tie_word_embeddings": False, "scalable_attention": True, "output_past": True},
        v4_removed=("dtype", "dense_act_fn", "is_gated_act"),
        known_as="umT5",
    ),
    FamilyCases(
        "bart",
        "BartConfig",
        "BartForConditionalGeneration",
        _BART_SIZES,
        (
            Case("post-norm, learned positions, final_logits_bias", {}),
            Case(f"{_UNEVEN_TEXT}, scale_embedding", {**_UNEVEN, "scale_embedding": True}),
            Case("head and tables not tied", {"tie_word_embeddings": False, "activation_function": "silu"}),
        ),
        v4={**_OLD_KEYS, "force_bos_token_to_be_generated": True, "forced_bos_token_id": 0},
        v4_removed=("dtype",),
        known_as="BART, DistilBART",
    ),
    FamilyCases(
        "plbart",
        "PLBartConfig",
        "PLBartForConditionalGeneration",
        _BART_SIZES,
        (
            Case("scale_embedding", {}),
            Case(f"{_UNEVEN_TEXT}, no scale_embedding", {**_UNEVEN, "scale_embedding": False}),
            Case(
                "head and tables not tied", {"tie_word_embeddings": False, "activation_function": "gelu_new"}
            ),
        ),
        v4=_OLD_KEYS,
        v4_removed=("dtype",),
        known_as="PLBART",
    ),
    FamilyCases(
        "mbart",
        "MBartConfig",
        "MBartForConditionalGeneration",
        _BART_SIZES,
        (
            Case("pre-norm, embedding norm and final norm", {}),
            Case(f"{_UNEVEN_TEXT}, scale_embedding", {**_UNEVEN, "scale_embedding": True}),
            Case(
                "head and tables not tied", {"tie_word_embeddings": False, "activation_function": "gelu_new"}
            ),
        ),
        v4={
            **_OLD_KEYS,
            "normalize_before": True,
            "add_final_layer_norm": True,
            "tokenizer_class": "MBart50Tokenizer",
        },
        v4_removed=("dtype",),
        known_as="mBART, mBART-50",
    ),
    FamilyCases(
        "blenderbot",
        "BlenderbotConfig",
        "BlenderbotForConditionalGeneration",
        _BART_SIZES,
        (
            Case("pre-norm, positions without offset", {}),
            Case(f"{_UNEVEN_TEXT}, scale_embedding", {**_UNEVEN, "scale_embedding": True}),
            Case("head and tables not tied", {"tie_word_embeddings": False}),
        ),
        v4={**_OLD_KEYS, "layernorm_variant": "prelayernorm", "encoder_no_repeat_ngram_size": 3},
        v4_removed=("dtype",),
        known_as="BlenderBot",
    ),
    FamilyCases(
        "blenderbot-small",
        "BlenderbotSmallConfig",
        "BlenderbotSmallForConditionalGeneration",
        _BART_SIZES,
        (
            Case("post-norm, the decoder's embedding norm before positions", {}),
            Case(f"{_UNEVEN_TEXT}, scale_embedding", {**_UNEVEN, "scale_embedding": True}),
            Case("head and tables not tied", {"tie_word_embeddings": False}),
        ),
        v4={**_OLD_KEYS, "layernorm_variant": "xlm", "do_blenderbot_90_layernorm": True, "unk_token_id": 3},
        v4_removed=("dtype",),
        known_as="BlenderBot small",
    ),
    FamilyCases(
        "pegasus",
        "PegasusConfig",
        "PegasusForConditionalGeneration",
        _BART_SIZES,
        (
            Case("pre-norm, sinusoidal positions", {}),
            Case(f"{_UNEVEN_TEXT}, scale_embedding", {**_UNEVEN, "scale_embedding": True}),
            Case(
                "head and tables not tied, odd size",
                {
                    "tie_word_embeddings": False,
                    "d_model": 27,
                    "encoder_attention_heads": 3,
                    "decoder_attention_heads": 9,
                },
            ),
        ),
        v4={
            **_OLD_KEYS,
            "static_position_embeddings": True,
            "extra_pos_embeddings": 1,
            "length_penalty": 0.8,
        },
        v4_removed=("dtype",),
        known_as="PEGASUS",
    ),
    FamilyCases(
        "marian",
        "MarianConfig",
        "MarianMTModel",
        {**_BART_SIZES, "pad_token_id": VOCAB - 1, "decoder_start_token_id": VOCAB - 1},
        (
            Case(
                "post-norm, sinusoidal positions", {"scale_embedding": True, "activation_function": "swish"}
            ),
            Case(_UNEVEN_TEXT, _UNEVEN),
            Case(
                "two vocabularies",
                {"share_encoder_decoder_embeddings": False, "vocab_size": 120, "decoder_vocab_size": VOCAB},
            ),
            Case("head and tables not tied", {"tie_word_embeddings": False}),
        ),
        v4={**_OLD_KEYS, "static_position_embeddings": True, "bad_words_ids": [[98]], "_num_labels": 3},
        v4_removed=("dtype", "share_encoder_decoder_embeddings", "decoder_vocab_size"),
        known_as="Marian, OPUS-MT",
    ),
    FamilyCases(
        "m2m_100",
        "M2M100Config",
        "M2M100ForConditionalGeneration",
        _BART_SIZES,
        (
            Case("sinusoidal positions that skip padding", {}),
            Case(f"{_UNEVEN_TEXT}, 4 positions to start with", {**_UNEVEN, "max_position_embeddings": 4}),
            Case("padding token 5, no scale_embedding", {"pad_token_id": 5, "scale_embedding": False}),
            Case("head and tables not tied", {"tie_word_embeddings": False, "activation_function": "gelu"}),
        ),
        v4={**_OLD_KEYS, "static_position_embeddings": True, "tokenizer_class": "NllbTokenizer"},
        v4_removed=("dtype",),
        known_as="M2M-100, NLLB-200",
    ),
    FamilyCases(
        "t5gemma",
        "T5GemmaConfig",
        "T5GemmaForConditionalGeneration",
        {"encoder": _MODULE, "decoder": _MODULE},
        (
            Case("windows in both stacks, soft caps, grouped queries", {}),
            Case(
                "a smaller encoder with a vocabulary of its own",
                {"encoder": {**_SMALL_MODULE, "vocab_size": 120}},
            ),
            Case(
                "no windows, no soft caps, biases, head not tied",
                {"encoder": _PLAIN_MODULE, "decoder": _PLAIN_MODULE, "tie_word_embeddings": False},
            ),
        ),
        v4={"torch_dtype": "float32", "encoder": _OLD_MODULE, "decoder": _OLD_MODULE},
        v4_removed=("dtype",),
        known_as="T5Gemma",
    ),
)
