"""GPT-2 and the decoders of KerasHub with layer norms: GPT-NeoX, OPT, BLOOM, Falcon."""

from __future__ import annotations

from typing import Any

from exporter.checkpoint.keras_hub.architecture import Architecture, Config
from exporter.checkpoint.keras_hub.reshaping import (
    BEHIND_TWO,
    BIAS_BY_HEAD,
    BY_HEAD,
    FLAT,
    IN_OUT,
    KERNEL,
    OUTPUT,
    OUTPUT_IN_OUT,
    SAME,
    columns,
)
from exporter.checkpoint.keras_hub.tables import Layers, Table, dense, embeddings, heads, joined, norm
from exporter.errors import UnsupportedError

_ATTENTION = "_self_attention_layer"
_EPSILON = {"layer_norm_epsilon": "layer_norm_epsilon"}
_SIZES = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
}

GPT2 = Architecture(
    "gpt2",
    {
        "vocabulary_size": "vocab_size",
        "num_layers": "n_layer",
        "num_heads": "n_head",
        "hidden_dim": "n_embd",
        "intermediate_dim": "n_inner",
        "max_sequence_length": "n_positions",
    },
    Table(
        {
            **embeddings("transformer.wte"),
            "transformer.wpe.weight": ("position_embedding/0", SAME),
            **norm("transformer.ln_f", "layer_normalization"),
        },
        (
            Layers(
                "transformer.h.{i}.",
                "transformer_decoder",
                {
                    **norm("ln_1", "_self_attention_layer_norm"),
                    **norm("ln_2", "_feedforward_layer_norm"),
                    **dense("attn.c_attn", joined(_ATTENTION), columns(IN_OUT), columns(FLAT)),
                    **dense("attn.c_proj", f"{_ATTENTION}/output_dense", OUTPUT_IN_OUT),
                    **dense("mlp.c_fc", "_feedforward_intermediate_dense", SAME),
                    **dense("mlp.c_proj", "_feedforward_output_dense", SAME),
                },
            ),
        ),
    ),
    fixed={"layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"},
    length=None,
)

GPT_NEO_X = Architecture(
    "gpt_neox",
    {
        **_SIZES,
        "intermediate_dim": "intermediate_size",
        "layer_norm_epsilon": "layer_norm_eps",
        "max_sequence_length": "max_position_embeddings",
        "rotary_percentage": "rotary_pct",
        "rotary_max_wavelength": "rotary_emb_base",
    },
    Table(
        {
            **embeddings("gpt_neox.embed_in"),
            **norm("gpt_neox.final_layer_norm", "layer_normalization"),
        },
        (
            Layers(
                "gpt_neox.layers.{i}.",
                "gpt_neo_x_decoder",
                {
                    **norm("input_layernorm", "_self_attention_layer_norm"),
                    **norm("post_attention_layernorm", "_feedforward_layer_norm"),
                    **dense("attention.query_key_value", f"{_ATTENTION}/_qkv_dense"),
                    **dense("attention.dense", f"{_ATTENTION}/_output_dense"),
                    **dense("mlp.dense_h_to_4h", "_feedforward_intermediate_dense"),
                    **dense("mlp.dense_4h_to_h", "_feedforward_output_dense"),
                },
            ),
        ),
    ),
    fixed={"hidden_act": "gelu_fast", "use_parallel_residual": True},
    length=None,
    lost=(
        "KerasHub's GPT-NeoX has the tanh form of GELU, parallel branches and a tied head, and so has this "
        "export; of published ones GPT-NeoX-20B has that GELU, Pythia the exact one",
    ),
)

OPT = Architecture(
    "opt",
    {**_SIZES, "intermediate_dim": "ffn_dim", "max_sequence_length": "max_position_embeddings"},
    Table(
        {
            "model.decoder.embed_tokens.weight": (
                "token_and_position_embedding/token_embedding/0",
                SAME,
            ),
            "model.decoder.embed_positions.weight": (
                "token_and_position_embedding/position_embedding/0",
                BEHIND_TWO,
            ),
            **norm("model.decoder.final_layer_norm", "layer_normalization"),
        },
        (
            Layers(
                "model.decoder.layers.{i}.",
                "transformer_decoder",
                {
                    **norm("self_attn_layer_norm", "_self_attention_layer_norm"),
                    **norm("final_layer_norm", "_feedforward_layer_norm"),
                    **heads("self_attn", _ATTENTION),
                    **dense("self_attn.out_proj", f"{_ATTENTION}/output_dense", OUTPUT),
                    **dense("fc1", "_feedforward_intermediate_dense"),
                    **dense("fc2", "_feedforward_output_dense"),
                },
            ),
        ),
    ),
    fixed={"activation_function": "relu", "do_layer_norm_before": True},
    length=None,
)


def _four_times(config: Config) -> dict[str, Any]:
    width, hidden = config["intermediate_dim"], config["hidden_dim"]
    if width != 4 * hidden:
        raise UnsupportedError(
            f"intermediate_dim={width} of this BloomBackbone; the reference has 4 * hidden_dim ({4 * hidden})"
        )
    return {}


BLOOM = Architecture(
    "bloom",
    {
        "vocabulary_size": "vocab_size",
        "num_layers": "n_layer",
        "num_heads": "n_head",
        "hidden_dim": "hidden_size",
        **_EPSILON,
    },
    Table(
        {
            **embeddings("transformer.word_embeddings"),
            **norm("transformer.word_embeddings_layernorm", "layer_normalization"),
            **norm("transformer.ln_f", "layer_normalization_1"),
        },
        (
            Layers(
                "transformer.h.{i}.",
                "bloom_decoder",
                {
                    **norm("input_layernorm", "_pre_attention_layernorm"),
                    **norm("post_attention_layernorm", "_post_attention_layernorm"),
                    **dense(
                        "self_attention.query_key_value",
                        joined(_ATTENTION, "_query_dense"),
                        BY_HEAD,
                        BIAS_BY_HEAD,
                    ),
                    **dense("self_attention.dense", f"{_ATTENTION}/_output_dense"),
                    **dense("mlp.dense_h_to_4h", "_mlp_intermediate_dense"),
                    **dense("mlp.dense_4h_to_h", "_mlp_output_dense"),
                },
            ),
        ),
    ),
    read=frozenset({"intermediate_dim", "max_sequence_length"}),
    more=_four_times,
    length=None,
)

FALCON = Architecture(
    "falcon",
    {
        "vocabulary_size": "vocab_size",
        "num_layers": "num_hidden_layers",
        "num_attention_heads": "num_attention_heads",
        "hidden_dim": "hidden_size",
        "intermediate_dim": "ffn_hidden_size",
        **_EPSILON,
    },
    Table(
        {
            **embeddings("transformer.word_embeddings"),
            **norm("transformer.ln_f", "layer_normalization"),
        },
        (
            Layers(
                "transformer.h.{i}.",
                "falcon_transformer_decoder",
                {
                    **norm("input_layernorm", "input_layernorm"),
                    **norm("post_attention_layernorm", "post_attention_layernorm"),
                    **dense(
                        "self_attention.query_key_value", joined("attention_layer"), BY_HEAD, BIAS_BY_HEAD
                    ),
                    **dense("self_attention.dense", "attention_layer/output_dense", KERNEL),
                    **dense("mlp.dense_h_to_4h", "dense_h_to_4h"),
                    **dense("mlp.dense_4h_to_h", "dense_4h_to_h"),
                },
            ),
        ),
    ),
    fixed={
        "alibi": True,
        "bias": True,
        "multi_query": False,
        "new_decoder_architecture": False,
        "parallel_attn": False,
        "activation": "gelu",
    },
    # The decoder's own norms do not get it from the backbone: they have 1e-5 whatever it says.
    only={"layer_norm_epsilon": (1e-5,)},
    harmless=frozenset({"attention_dropout_rate", "feedforward_dropout_rate"}),
)
