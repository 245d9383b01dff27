"""GPT-Neo (EleutherAI 2021)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exporter.families.family import Family
from exporter.families.gpt2 import GPT2_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.shape import Keys, layer_norm, plain_mlp, read_shape, tied
from exporter.spec import HeadSpec, LayerSpec, ModelSpec

KEYS = Keys(heads="num_heads", layers="num_layers")


def read(config: ConfigReader) -> ModelSpec:
    """GPT-2 with unscaled attention that in some layers sees a window only."""
    shape = read_shape(config, KEYS, vocab=50257, hidden=2048, layers=24, heads=16, max_length=2048)
    norm, mlp = layer_norm(config, "layer_norm_epsilon"), plain_mlp(config, shape.width, "gelu_new")
    attention, window = shape.attention(scale=1.0, out_bias=True), config.integer("window_size", 256)
    windows = [window if kind == "local" else None for kind in _kinds(config, shape.layers)]
    layers = [
        LayerSpec(replace(attention, window=size), mlp, attention_norm=norm, mlp_norm=norm)
        for size in windows
    ]
    return shape.model("gpt_neo", layers, norm, HeadSpec(tied(config, True)), shape.table(), hard=True)


def _kinds(config: ConfigReader, layers: int) -> list[str]:
    """``attention_layers``, one a layer; or ``attention_types``, [[[kind, ...], times], ...], written out."""
    types = config.raw("attention_types", [[["global", "local"], 12]])
    kinds = config.choices("attention_layers", KINDS, layers)
    if config.has("attention_layers"):
        return kinds or []
    kinds = _written_out(types, layers)
    if len(kinds) != layers:
        config.wrong(
            "attention_types", types, f"must come to 'global' or 'local' for each of {layers} layers"
        )
    return kinds


def _written_out(types: Any, layers: int) -> list[str]:
    """The layers of ``attention_types``; [] where it is something else, or far too long."""
    kinds: list[str] = []
    for item in types if isinstance(types, list) else []:
        match item:
            case [[*group], int(times)] if set(map(repr, group)) <= set(map(repr, KINDS)) and times <= layers:
                kinds += group * times
            case _:
                return []
    return kinds


KINDS = ("global", "local")

GPT_NEO = Family(
    read,
    replace(
        GPT2_NAMES,
        qkv=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
        out="attn.attention.out_proj",
        unused=(r"\.attention\.bias$", r"\.attention\.masked_bias$"),
    ),
    harmless=("resid_dropout", "embed_dropout"),
    aliases=KEYS.aliases,
)
