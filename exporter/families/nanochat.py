"""nanochat (Karpathy 2025)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import Family
from exporter.families.nemotron import PLAIN_NAMES
from exporter.families.reader import ConfigReader
from exporter.families.rope import read_rotary
from exporter.families.shape import plain_mlp, read_shape, tied
from exporter.spec import EmbeddingSpec, HeadSpec, LayerSpec, ModelSpec, NormKind, NormSpec


def read(config: ConfigReader) -> ModelSpec:
    """Norms without weights, one behind the embedding too; heads turn backwards and are then normalised."""
    shape = read_shape(config, vocab=50304, hidden=768, width=8192, layers=12, heads=6, max_length=2048)
    norm = NormSpec(NormKind.RMS, config.number("rms_norm_eps", 1e-6), scale=False)
    bias = config.flag("attention_bias", False)
    attention = shape.attention(
        rotary=replace(read_rotary(config, shape.head_dim, shape.max_length), backwards=True),
        qk_norm=norm,
        qk_norm_last=True,
        qkv_bias=bias,
        out_bias=bias,
    )
    mlp = plain_mlp(config, shape.width, "relu2", "hidden_act", bias=False)
    layer = LayerSpec(attention, mlp, attention_norm=norm, mlp_norm=norm)
    cap = config.nullable_number("final_logit_softcapping", 15.0)
    embedding = EmbeddingSpec(shape.hidden, norm=norm)
    head = HeadSpec(tied(config), softcap=cap)
    return shape.model("nanochat", [layer] * shape.layers, norm, head, embedding)


NANOCHAT = Family(read, replace(PLAIN_NAMES, up="mlp.fc1", down="mlp.fc2"))
