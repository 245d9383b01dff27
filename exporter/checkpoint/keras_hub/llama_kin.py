"""Llama, and the decoders of KerasHub that are built as it is: Mistral, Mixtral, Phi-3, Qwen 2 and 3."""

from __future__ import annotations

from typing import Any

from exporter.checkpoint.keras_hub.architecture import SIZES, Architecture, Config, linear_rope
from exporter.checkpoint.keras_hub.reshaping import FLAT, KERNEL, OUTPUT, TURNED, TURNED_PAIR, rows
from exporter.checkpoint.keras_hub.tables import (
    Entries,
    Layers,
    Table,
    dense,
    embeddings,
    heads,
    joined,
    norm,
)

_ATTENTION = "_self_attention_layer"
_KEYS = {**SIZES, "layer_norm_epsilon": "rms_norm_eps"}
_SILU = {"hidden_act": "silu"}
_ROPE = frozenset({"rope_max_wavelength", "rope_scaling_factor"})
_NORMS = {
    **norm("input_layernorm", "_self_attention_layernorm"),
    **norm("post_attention_layernorm", "_feedforward_layernorm"),
}
_GATED = {
    **dense("mlp.gate_proj", "_feedforward_gate_dense"),
    **dense("mlp.up_proj", "_feedforward_intermediate_dense"),
    **dense("mlp.down_proj", "_feedforward_output_dense"),
}


def decoder(final_norm: str, group: str, variables: Entries) -> Table:
    """Token table, layers, last norm and head."""
    return Table(
        {**embeddings(), **norm("model.norm", final_norm)}, (Layers("model.layers.{i}.", group, variables),)
    )


def attention(query: str = "_query_dense", output: str = "_output_dense") -> Entries:
    """The norms before the branches, and attention."""
    return {
        **_NORMS,
        **heads("self_attn", _ATTENTION, query),
        **dense("self_attn.o_proj", f"{_ATTENTION}/{output}", OUTPUT),
        **norm("self_attn.q_norm", f"{_ATTENTION}/_query_dense_layer_norm"),
        **norm("self_attn.k_norm", f"{_ATTENTION}/_key_dense_layer_norm"),
    }


def _plain(name: str, final_norm: str | None = None) -> Table:
    layers = {**attention(), **_GATED}
    return decoder(final_norm or f"{name}_layer_norm", f"{name}_transformer_decoder", layers)


def _llama_rope(config: Config) -> dict[str, Any]:
    factor = config.get("rope_frequency_adjustment_factor")
    if factor is None:
        return linear_rope(config)
    return {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": float(config.get("rope_max_wavelength", 10_000)),
            "factor": float(factor),
            "low_freq_factor": float(config["rope_low_freq_factor"]),
            "high_freq_factor": float(config["rope_high_freq_factor"]),
            "original_max_position_embeddings": int(config["rope_pretraining_sequence_length"]),
        }
    }


LLAMA = Architecture(
    "llama",
    _KEYS,
    _plain("llama"),
    fixed=_SILU,
    read=frozenset(
        {
            "rope_max_wavelength",
            "rope_frequency_adjustment_factor",
            "rope_low_freq_factor",
            "rope_high_freq_factor",
            "rope_pretraining_sequence_length",
            "tie_word_embeddings",
        }
    ),
    more=_llama_rope,
    # The installed KerasHub leaves it out of its computation, versions before it did not.
    only={"rope_position_scaling_factor": (1.0,)},
)

MISTRAL = Architecture(
    "mistral",
    {**_KEYS, "sliding_window": "sliding_window", "head_dim": "head_dim"},
    _plain("mistral", "mistral_layer_normalization"),
    fixed=_SILU,
    read=_ROPE,
    more=linear_rope,
)

_MIXTURE = "_sparse_moe_block"
MIXTRAL = Architecture(
    "mixtral",
    {
        **_KEYS,
        "num_experts": "num_local_experts",
        "top_k": "num_experts_per_tok",
        "sliding_window": "sliding_window",
    },
    decoder(
        "mixtral_layer_normalization",
        "mixtral_transformer_decoder",
        {
            **attention("query_dense", "output_dense"),
            **dense("mlp.gate", f"{_MIXTURE}/_sparse_feedforward_gate_dense"),
            "mlp.experts.gate_up_proj": (
                f"{_MIXTURE}/expert_bank/0 {_MIXTURE}/expert_bank/1",
                TURNED_PAIR,
            ),
            "mlp.experts.down_proj": (f"{_MIXTURE}/expert_bank/2", TURNED),
        },
    ),
    fixed=_SILU,
    read=_ROPE,
    more=linear_rope,
    harmless=frozenset({"router_jitter_noise", "router_aux_loss_coef", "output_router_logits"}),
)


def _phi3_rope(config: Config) -> dict[str, Any]:
    """ "su" is the reference's longrope."""
    if config.get("rope_scaling_type") is None:
        return linear_rope(config)
    return {
        "original_max_position_embeddings": config["pretraining_sequence_length"],
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": float(config["rope_max_wavelength"]),
            "short_factor": config["rope_scaling_short_factor"],
            "long_factor": config["rope_scaling_long_factor"],
        },
    }


PHI3 = Architecture(
    "phi3",
    {**_KEYS, "max_sequence_length": "max_position_embeddings"},
    decoder(
        "phi3_layer_norm",
        "phi3_decoder",
        {
            **norm("input_layernorm", "pre_attention_layernorm"),
            **norm("post_attention_layernorm", "post_attention_layernorm"),
            **dense("self_attn.qkv_proj", joined("attention"), rows(KERNEL), rows(FLAT)),
            **dense("self_attn.o_proj", "attention/output_dense", OUTPUT),
            **dense(
                "mlp.gate_up_proj", "feedforward_gate_dense feedforward_intermediate_dense", rows(KERNEL)
            ),
            **dense("mlp.down_proj", "feedforward_output_dense"),
        },
    ),
    fixed=_SILU,
    only={"rope_scaling_type": (None, "su")},
    read=frozenset(
        {
            "pretraining_sequence_length",
            "rope_max_wavelength",
            "rope_scaling_short_factor",
            "rope_scaling_long_factor",
        }
    ),
    more=_phi3_rope,
    length=None,
    lost=(
        "KerasHub's Phi-3 has no sliding window, and neither has this export; some published Phi-3 have one "
        "(sliding_window of their config.json)",
    ),
)


def _windows(window: object, on: bool, layers: int) -> dict[str, Any]:
    """The same in every layer, in the reference's words."""
    kind = "sliding_attention" if on and window else "full_attention"
    found = {"use_sliding_window": on and bool(window), "sliding_window": window, "max_window_layers": 0}
    return {**found, "layer_types": [kind] * layers}


def _qwen2(config: Config) -> dict[str, Any]:
    on = bool(config.get("use_sliding_window_attention"))
    return {
        **linear_rope(config),
        **_windows(config.get("sliding_window_size"), on, config["num_layers"]),
    }


QWEN2 = Architecture(
    "qwen2",
    _KEYS,
    _plain("qwen"),
    fixed=_SILU,
    read=_ROPE | {"use_sliding_window_attention", "sliding_window_size", "tie_word_embeddings"},
    more=_qwen2,
)

QWEN3 = Architecture(
    "qwen3",
    {**_KEYS, "head_dim": "head_dim"},
    _plain("qwen3"),
    fixed=_SILU,
    read=_ROPE | {"sliding_window_size", "tie_word_embeddings"},
    # KerasHub windows every layer wherever it has a size.
    more=lambda config: {
        **linear_rope(config),
        **_windows(config.get("sliding_window_size"), True, config["num_layers"]),
    },
)
