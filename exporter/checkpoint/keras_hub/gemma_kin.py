"""Gemma 1 to 3: KerasHub's one backbone is the reference's Gemma or Gemma 2, by its norms."""

from __future__ import annotations

from typing import Any

from exporter.checkpoint.keras_hub.architecture import SIZES, Architecture, Config
from exporter.checkpoint.keras_hub.reshaping import HEADS_FIRST, OUTPUT, SAME
from exporter.checkpoint.keras_hub.tables import Entries, Layers, Table, dense, embeddings, heads, norm

_NORM_KEYS = ("use_post_ffw_norm", "use_post_attention_norm")
#: The decoder's own norms do not get it from the backbone: they have 1e-6 whatever it says.
_EPSILON = {"layer_norm_epsilon": (1e-6,)}
_KEYS = {**SIZES, "head_dim": "head_dim", "layer_norm_epsilon": "rms_norm_eps"}
_TANH = {"hidden_activation": "gelu_pytorch_tanh"}
_CAPS = {
    "attention_logit_soft_cap": "attn_logit_softcapping",
    "final_logit_soft_cap": "final_logit_softcapping",
}
_ONE_NORM = norm("post_attention_layernorm", "pre_ffw_norm")
_FOUR_NORMS = {
    **norm("post_attention_layernorm", "post_attention_norm"),
    **norm("pre_feedforward_layernorm", "pre_ffw_norm"),
    **norm("post_feedforward_layernorm", "post_ffw_norm"),
}


def _table(group: str, norms: Entries) -> Table:
    layer = {
        **norm("input_layernorm", "pre_attention_norm"),
        **norms,
        **heads("self_attn", "attention", way=HEADS_FIRST),
        **dense("self_attn.o_proj", "attention/output_dense", OUTPUT),
        "self_attn.q_norm.weight": ("attention/query_norm/0", SAME),
        "self_attn.k_norm.weight": ("attention/key_norm/0", SAME),
        **dense("mlp.gate_proj", "gating_ffw"),
        **dense("mlp.up_proj", "gating_ffw_2"),
        **dense("mlp.down_proj", "ffw_linear"),
    }
    return Table(
        {**embeddings(), **norm("model.norm", "rms_normalization")},
        (Layers("model.layers.{i}.", group, layer),),
    )


def _half_width(config: Config) -> dict[str, Any]:
    """KerasHub counts gate and up projection as one width."""
    return {"intermediate_size": config["intermediate_dim"] // 2}


def _query_scale(config: Config) -> dict[str, Any]:
    """As the configuration says; KerasHub's own layers take head_dim whatever it says."""
    if config.get("query_head_dim_normalize", True):
        return {"query_pre_attn_scalar": config["head_dim"]}
    return {"query_pre_attn_scalar": config["hidden_dim"] // config["num_query_heads"]}


def _windows(config: Config, period: int) -> dict[str, Any]:
    """Every ``period``-th layer attends to everything."""
    on = bool(config.get("use_sliding_window_attention"))
    windowed = [on and (index + 1) % period != 0 for index in range(config["num_layers"])]
    return {
        "sliding_window": config.get("sliding_window_size"),
        "layer_types": ["sliding_attention" if window else "full_attention" for window in windowed],
    }


GEMMA2 = Architecture(
    "gemma2",
    {**_KEYS, **_CAPS},
    _table("gemma_decoder_block", _FOUR_NORMS),
    fixed=_TANH,
    only={**dict.fromkeys(_NORM_KEYS, (True,)), **_EPSILON},
    read=frozenset({"query_head_dim_normalize", "use_sliding_window_attention", "sliding_window_size"}),
    more=lambda config: {**_half_width(config), **_query_scale(config), **_windows(config, 2)},
)

GEMMA = Architecture(
    "gemma",
    _KEYS,
    _table("gemma_decoder_block", _ONE_NORM),
    fixed={"hidden_act": "gelu_pytorch_tanh"},
    only={
        **dict.fromkeys(_NORM_KEYS, (False,)),
        **dict.fromkeys(_CAPS, (None,)),
        **_EPSILON,
        "query_head_dim_normalize": (True,),
        "use_sliding_window_attention": (False,),
    },
    harmless=frozenset({"sliding_window_size"}),
    more=_half_width,
    instead=lambda config: GEMMA2 if any(config.get(key) for key in _NORM_KEYS) else None,
)


def _gemma3(config: Config) -> dict[str, Any]:
    bases = {"sliding_attention": (10_000.0, "local"), "full_attention": (1_000_000.0, "global")}
    ropes = {}
    for kind, (theta, name) in bases.items():
        factor = float(config.get(f"{name}_rope_scaling_factor", 1.0))
        scaling = {"rope_type": "default"} if factor == 1.0 else {"rope_type": "linear", "factor": factor}
        ropes[kind] = {**scaling, "rope_theta": theta}
    return {"rope_parameters": ropes, **_query_scale(config), **_windows(config, 6)}


GEMMA3 = Architecture(
    "gemma3_text",
    {**_KEYS, "final_logit_soft_cap": "final_logit_softcapping"},
    _table("gemma3_decoder_block", _FOUR_NORMS),
    fixed=_TANH,
    only={
        **dict.fromkeys(_NORM_KEYS, (True,)),
        **_EPSILON,
        "use_query_key_norm": (True,),
        "attention_logit_soft_cap": (None,),
        "use_bidirectional_attention": (False,),
        "is_embedding_model": (False,),
        "vision_encoder": (None,),
    },
    read=frozenset(
        {
            "query_head_dim_normalize",
            "use_sliding_window_attention",
            "sliding_window_size",
            "local_rope_scaling_factor",
            "global_rope_scaling_factor",
        }
    ),
    harmless=frozenset({"image_size", "pooling_intermediate_dim", "embedding_dim"}),
    more=_gemma3,
)
