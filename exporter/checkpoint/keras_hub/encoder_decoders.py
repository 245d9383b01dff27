"""BART and T5 of KerasHub."""

from __future__ import annotations

from typing import Any

from exporter.checkpoint.keras_hub.architecture import Architecture, Config
from exporter.checkpoint.keras_hub.reshaping import BEHIND_TWO, KERNEL, OUTPUT, SAME
from exporter.checkpoint.keras_hub.tables import Entries, Layers, Table, dense, heads, norm
from exporter.errors import UnsupportedError


def _bart_attention(name: str, stored: str) -> Entries:
    return {
        **heads(name, f"{stored}_layer"),
        **dense(f"{name}.out_proj", f"{stored}_layer/output_dense", OUTPUT),
        **norm(f"{name}_layer_norm", f"{stored}_layer_norm"),
    }


_BART_LAYER = {
    **_bart_attention("self_attn", "_self_attention"),
    **dense("fc1", "_feedforward_intermediate_dense"),
    **dense("fc2", "_feedforward_output_dense"),
    **norm("final_layer_norm", "_feedforward_layer_norm"),
}

BART = Architecture(
    "bart",
    {
        "vocabulary_size": "vocab_size",
        "hidden_dim": "d_model",
        "max_sequence_length": "max_position_embeddings",
    },
    Table(
        {
            "model.shared.weight": ("reversible_embedding/0", SAME),
            "model.encoder.embed_positions.weight": ("position_embedding/0", BEHIND_TWO),
            "model.decoder.embed_positions.weight": ("position_embedding_1/0", BEHIND_TWO),
            **norm("model.encoder.layernorm_embedding", "layer_normalization"),
            **norm("model.decoder.layernorm_embedding", "layer_normalization_1"),
        },
        (
            Layers("model.encoder.layers.{i}.", "transformer_encoder", _BART_LAYER),
            Layers(
                "model.decoder.layers.{i}.",
                "transformer_decoder",
                {**_BART_LAYER, **_bart_attention("encoder_attn", "_cross_attention")},
            ),
        ),
    ),
    fixed={"activation_function": "gelu", "scale_embedding": False, "is_encoder_decoder": True},
    read=frozenset({"num_layers", "num_heads", "intermediate_dim"}),
    more=lambda config: {
        f"{side}_{theirs}": config[ours]
        for side in ("encoder", "decoder")
        for ours, theirs in (
            ("num_layers", "layers"),
            ("num_heads", "attention_heads"),
            ("intermediate_dim", "ffn_dim"),
        )
    },
    # KerasHub starts an answer with both tokens.
    generation=lambda special: {
        "decoder_start_token_id": special.eos[0] if special.eos else None,
        "forced_bos_token_id": special.bos,
    },
    length=None,
)


def _t5_attention(name: str, stored: str) -> Entries:
    parts = {"q": "query", "k": "key", "v": "value", "o": "output"}
    return {
        f"{name}.{theirs}.weight": (f"{stored}/{ours}_projector/0", KERNEL) for theirs, ours in parts.items()
    }


def _t5_layer(last: int, *, gated: bool) -> Entries:
    feed = f"layer.{last}.DenseReluDense"
    both = {"wi_0": "input", "wi_1": "gate"} if gated else {"wi": "input"}
    return {
        **_t5_attention("layer.0.SelfAttention", "self_attention"),
        "layer.0.SelfAttention.relative_attention_bias.weight": ("self_attention/0", SAME),
        **norm("layer.0.layer_norm", "self_attention_layer_norm"),
        **{
            f"{feed}.{theirs}.weight": (f"{ours}_projector/0", KERNEL)
            for theirs, ours in {**both, "wo": "output"}.items()
        },
        **norm(f"layer.{last}.layer_norm", "layer_norm"),
    }


def _t5_table(*, gated: bool) -> Table:
    group = "t5_transformer_layer"
    cross = {
        **_t5_attention("layer.1.EncDecAttention", "cross_attention"),
        **norm("layer.1.layer_norm", "cross_attention_layer_norm"),
    }
    return Table(
        {
            "shared.weight": ("reversible_embedding/0", SAME),
            "lm_head.weight": ("reversible_embedding/1", KERNEL),
            **norm("encoder.final_layer_norm", "t5_layer_norm"),
            **norm("decoder.final_layer_norm", "t5_layer_norm_1"),
        },
        (
            Layers("encoder.block.{i}.", group, _t5_layer(1, gated=gated)),
            Layers("decoder.block.{i}.", group, {**_t5_layer(2, gated=gated), **cross}, after="num_layers"),
        ),
    )


#: KerasHub's activation -> the reference's words for it alone, and for it in a gated block.
_T5_ACTIVATIONS = {"relu": ("relu", "gated-relu"), "gelu_approximate": ("gelu_new", "gated-gelu")}


def _t5_more(config: Config) -> dict[str, Any]:
    found = config.get("activation", "relu")
    name = str(found.get("config") if isinstance(found, dict) else found).rpartition(">")[2]
    if name not in _T5_ACTIVATIONS:
        raise UnsupportedError(
            f"activation={found!r} of this T5Backbone; allowed are {' and '.join(_T5_ACTIVATIONS)}"
        )
    heads_, hidden = config["num_heads"], config["hidden_dim"]
    return {
        "feed_forward_proj": _T5_ACTIVATIONS[name][bool(config.get("use_gated_activation", True))],
        "d_kv": config.get("key_value_dim") or hidden // heads_,
        "num_decoder_layers": config["num_layers"],
    }


def _t5(*, gated: bool) -> Architecture:
    return Architecture(
        "t5",
        {
            "vocabulary_size": "vocab_size",
            "hidden_dim": "d_model",
            "intermediate_dim": "d_ff",
            "num_layers": "num_layers",
            "num_heads": "num_heads",
            "layer_norm_epsilon": "layer_norm_epsilon",
        },
        _t5_table(gated=gated),
        fixed={
            "is_encoder_decoder": True,
            "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128,
        },
        read=frozenset({"activation", "use_gated_activation", "key_value_dim", "tie_embedding_weights"}),
        more=_t5_more,
        generation=lambda special: {"decoder_start_token_id": special.pad},
        length=None,
        instead=lambda config: (
            None if bool(config.get("use_gated_activation", True)) == gated else _t5(gated=not gated)
        ),
    )


T5 = _t5(gated=True)
