"""GPT-Neo (EleutherAI 2021)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.gpt2 import GPT2_NAMES, SUMMARY
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
    types = config.raw("attention_types") or [[["global", "local"], 12]]
    kinds = config.raw("attention_layers")
    if kinds is None:
        kinds = [kind for group, times in types for _ in range(times) for kind in group]
    if len(kinds) != layers or not set(kinds) <= {"global", "local"}:
        config.problem(f"attention_layers={kinds!r} must name global or local for each of {layers} layers")
    return list(kinds)


GPT_NEO = Family(
    read,
    replace(
        GPT2_NAMES,
        qkv=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
        out="attn.attention.out_proj",
        unused=(r"\.attention\.bias$", r"\.attention\.masked_bias$"),
    ),
    harmless=("resid_dropout", "embed_dropout", "classifier_dropout", *SUMMARY),
    aliases=KEYS.aliases,
)
