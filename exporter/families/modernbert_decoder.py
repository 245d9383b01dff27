"""ModernBERT as a decoder (Weller et al. 2025: Ettin)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.family import ACTIVATIONS, Family
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.rope import nested_rotaries
from exporter.families.shape import Keys, Shape, read_shape, read_windows, tied
from exporter.spec import (
    AttentionSpec,
    EmbeddingSpec,
    HeadBlockSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    RotaryRounding,
)


def read(config: ConfigReader) -> ModelSpec:
    """A normalised embedding, one of three layers sees all and has a rotary base of its own, BERT's head."""
    shape = read_shape(
        config, Keys(), vocab=50368, hidden=768, width=1152, layers=22, heads=12, max_length=8192
    )
    config.expect("head_dim", None, why="the reference's attention derives it")
    norm = NormSpec(NormKind.LAYER, config.number("norm_eps", 1e-5), bias=config.flag("norm_bias", False))
    bias, activation = config.flag("mlp_bias", False), config.choice("hidden_activation", ACTIVATIONS, "gelu")
    mlp = MlpSpec(shape.width, activation, gated=True, up_bias=bias, down_bias=bias)
    layers = [
        LayerSpec(attention, mlp, attention_norm=norm if index else None, mlp_norm=norm)
        for index, attention in enumerate(_attentions(config, shape))
    ]
    block = HeadBlockSpec(
        config.choice("classifier_activation", ACTIVATIONS, "gelu"),
        norm,
        bias=config.flag("classifier_bias", False),
    )
    head = HeadSpec(tied(config, True), bias=config.flag("decoder_bias", True), block=block)
    embedding = EmbeddingSpec(shape.hidden, norm=norm)
    return shape.model("modernbert-decoder", layers, norm, head, embedding)


def _attentions(config: ConfigReader, shape: Shape) -> list[AttentionSpec]:
    config.expect("rope_scaling", None, why="what it adds to either kind of layer is not built")
    local, overall = (
        replace(rotary, rounding=RotaryRounding.ANGLES)
        for rotary in nested_rotaries(
            config,
            shape,
            local=config.number("local_rope_theta", 10_000.0, positive=True),
            overall=config.number("global_rope_theta", 160_000.0, positive=True),
        )
    )
    every = config.integer("global_attn_every_n_layers", 3)
    windows = read_windows(config, shape.layers, _window(config), lambda layer: layer % every != 0)
    bias = config.flag("attention_bias", False)
    return [
        shape.attention(
            rotary=overall if window is None else local, window=window, qkv_bias=bias, out_bias=bias
        )
        for window in windows
    ]


def _window(config: ConfigReader) -> int | None:
    """``sliding_window``, as the reference writes it, or half of ``local_attention``."""
    around = config.nullable_integer("local_attention", 128, minimum=2)
    return config.optional_integer("sliding_window", around and around // 2)


MODERNBERT_DECODER = Family(
    read,
    Names(
        prefix="model.",
        tokens="embeddings.tok_embeddings",
        embedding_norm="embeddings.norm",
        layer="layers.{i}.",
        attention_norm="attn_norm",
        qkv=("attn.q_proj", "attn.k_proj", "attn.v_proj"),
        out="attn.Wo",
        mlp_norm="mlp_norm",
        up="mlp.Wi",
        down="mlp.Wo",
        final_norm="final_norm",
        head="decoder",
        head_dense="lm_head.dense",
        head_norm="lm_head.norm",
    ),
    harmless=("embedding_dropout", "mlp_dropout", "initializer_cutoff_factor"),
)
