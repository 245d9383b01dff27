"""What most configs spell alike: sizes under the reference's standard names, and models built from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.families.family import ACTIVATIONS
from exporter.families.reader import ConfigReader
from exporter.spec import (
    AttentionSpec,
    EmbeddingSpec,
    HeadSpec,
    LayerSpec,
    MlpSpec,
    ModelSpec,
    NormKind,
    NormSpec,
    StackSpec,
)


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder."""

    vocab: int
    hidden: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    max_length: int

    def attention(self, **changes: Any) -> AttentionSpec:
        """Attention of these sizes, scaled by head_dim ** -0.5; ``changes`` as of AttentionSpec."""
        sizes = {"heads": self.heads, "kv_heads": self.kv_heads, "head_dim": self.head_dim}
        return AttentionSpec(**{**sizes, "scale": self.head_dim**-0.5, **changes})

    def model(
        self,
        model_type: str,
        layers: Sequence[LayerSpec],
        final_norm: NormSpec | None,
        head: HeadSpec,
        embedding: EmbeddingSpec | None = None,
    ) -> ModelSpec:
        """A model without position table."""
        return ModelSpec(
            model_type=model_type,
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            decoder=StackSpec(embedding or EmbeddingSpec(self.hidden), tuple(layers), final_norm),
            head=head,
            context_length=self.max_length,
        )


def read_shape(
    config: ConfigReader,
    *,
    vocab: int,
    hidden: int,
    width: int,
    layers: int,
    heads: int,
    max_length: int,
    kv_heads: int | None = None,
    head_dim: int | None = None,
) -> Shape:
    """Sizes under their standard names; the arguments are the family's defaults.

    A ``kv_heads`` or ``head_dim`` of None follows from the heads, as in the reference.
    """
    hidden, heads = config.integer("hidden_size", hidden), config.integer("num_attention_heads", heads)
    kv = config.optional_integer("num_key_value_heads", None if "num_key_value_heads" in config else kv_heads)
    size = config.optional_integer("head_dim", None if "head_dim" in config else head_dim)
    if heads % (kv or heads):
        config.problem(f"num_attention_heads={heads} is not a multiple of num_key_value_heads={kv}")
    if size is None and hidden % heads:
        config.problem(f"hidden_size={hidden} is not divisible by num_attention_heads={heads}")
    return Shape(
        vocab=config.integer("vocab_size", vocab),
        hidden=hidden,
        width=config.integer("intermediate_size", width),
        layers=config.integer("num_hidden_layers", layers),
        heads=heads,
        kv_heads=kv or heads,
        head_dim=size or max(1, hidden // heads),
        max_length=config.integer("max_position_embeddings", max_length),
    )


def rms_norm(config: ConfigReader, default: float = 1e-6) -> NormSpec:
    """``rms_norm_eps``."""
    return NormSpec(NormKind.RMS, config.number("rms_norm_eps", default))


def layer_norm(config: ConfigReader, key: str = "layer_norm_eps", default: float = 1e-5) -> NormSpec:
    """LayerNorm with scale and bias."""
    return NormSpec(NormKind.LAYER, config.number(key, default), bias=True)


def gated_mlp(config: ConfigReader, width: int, *, bias: bool = False, act: str = "silu") -> MlpSpec:
    """A gated block with ``hidden_act``."""
    activation = config.choice("hidden_act", ACTIVATIONS, act)
    return MlpSpec(width, activation, gated=True, up_bias=bias, down_bias=bias)


def tied(config: ConfigReader, default: bool = False) -> bool:
    """``tie_word_embeddings``."""
    return config.flag("tie_word_embeddings", default)


FULL, SLIDING = "full_attention", "sliding_attention"


def read_windows(
    config: ConfigReader, layers: int, window: int | None, sliding: Callable[[int], bool]
) -> tuple[int | None, ...]:
    """Each layer's window: from ``layer_types``, or from ``sliding(layer)`` in older configs."""
    types = config.raw("layer_types")
    if types is None:
        types = [SLIDING if sliding(layer) else FULL for layer in range(layers)]
    if not isinstance(types, list) or len(types) != layers or set(types) - {FULL, SLIDING}:
        config.problem(f"layer_types must name {layers} layers, each {FULL!r} or {SLIDING!r}; got {types!r}")
        return (None,) * layers
    if SLIDING in types and window is None:
        config.problem(f"layer_types has {SLIDING!r}, but there is no sliding_window")
    return tuple(window if kind == SLIDING else None for kind in types)
