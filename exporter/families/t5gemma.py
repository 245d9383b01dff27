"""T5Gemma (Zhang et al. 2025): two Gemma 2 stacks, of one or two sizes, joined by cross-attention."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.gemma2 import GEMMA2_NAMES, read_gemma2
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import tied
from exporter.spec import LayerSpec, ModelSpec


def read(config: ConfigReader) -> ModelSpec:
    """Reads the sections ``encoder`` and ``decoder``, each like a Gemma 2 of its own."""
    source, target = _section(config, "encoder"), _section(config, "decoder")
    encoder = replace(
        source.decoder,
        layers=tuple(map(_both_ways, source.decoder.layers)),
        vocab_size=source.vocab_size,
        hidden_size=source.hidden_size,
    )
    return replace(
        target,
        model_type="t5gemma",
        decoder=replace(target.decoder, layers=tuple(map(_reading, target.decoder.layers))),
        head=replace(target.head, tied=tied(config, True)),
        kind="encoder_decoder",
        encoder=encoder,
    )


def _section(config: ConfigReader, side: str) -> ModelSpec:
    section = config.section(side)
    # The reference sets cross_attention_hidden_size itself.
    section.harmless("dropout_rate", "is_encoder_decoder", "cross_attention_hidden_size")
    return read_gemma2(section)


def _both_ways(layer: LayerSpec) -> LayerSpec:
    """An encoder's window reaches ``sliding_window`` tokens to each side, and the query's own is one more."""
    attention = layer.attention
    assert attention is not None
    window = None if attention.window is None else attention.window + 1
    return replace(layer, attention=replace(attention, window=window))


def _reading(layer: LayerSpec) -> LayerSpec:
    """A decoder's layer; its cross-attention has neither positions nor a window."""
    assert layer.attention is not None
    attention, norm = replace(layer.attention, rotary=None, window=None), layer.attention_norm
    return replace(layer, cross_attention=attention, cross_norm=norm, cross_out_norm=norm)


def _names(side: str) -> Names:
    return replace(
        GEMMA2_NAMES,
        prefix="model.",
        tokens=f"{side}.embed_tokens",
        layer=f"{side}.layers.{{i}}.",
        attention_norm="pre_self_attn_layernorm",
        attention_out_norm="post_self_attn_layernorm",
        cross=("cross_attn.q_proj", "cross_attn.k_proj", "cross_attn.v_proj"),
        cross_out="cross_attn.o_proj",
        cross_norm="pre_cross_attn_layernorm",
        cross_out_norm="post_cross_attn_layernorm",
        final_norm=f"{side}.norm",
        head="lm_head.out_proj",
    )


T5GEMMA = Family(
    read,
    replace(_names("decoder"), encoder=_names("encoder")),
    harmless=("dropout_rate", "vocab_size"),
    encoder_decoder=True,
)
