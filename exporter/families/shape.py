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
    PositionKind,
    StackSpec,
)


@dataclass(frozen=True)
class Keys:
    """What a config calls its sizes; "" stands for a size that it does not give."""

    hidden: str = "hidden_size"
    heads: str = "num_attention_heads"
    layers: str = "num_hidden_layers"
    width: str = "intermediate_size"
    max_length: str = "max_position_embeddings"
    kv_heads: str = ""
    head_dim: str = ""

    @property
    def aliases(self) -> dict[str, str]:
        """Standard names of the sizes but the width, as the reference's ``attribute_map`` has them."""
        named = {
            getattr(Keys, key): getattr(self, key) for key in ("hidden", "heads", "layers", "max_length")
        }
        return {standard: own for standard, own in named.items() if own not in ("", standard)}


LLAMA_KEYS = Keys(kv_heads="num_key_value_heads", head_dim="head_dim")


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder; a ``max_length`` of 0 says that nothing bounds it."""

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

    def table(self, positions: PositionKind = PositionKind.LEARNED, **changes: Any) -> EmbeddingSpec:
        """Token embedding with a table of positions; ``changes`` as of EmbeddingSpec."""
        sizes = {"size": self.hidden, "position_count": self.max_length}
        return EmbeddingSpec(**{**sizes, "positions": positions, **changes})

    def model(
        self,
        model_type: str,
        layers: Sequence[LayerSpec],
        final_norm: NormSpec | None,
        head: HeadSpec,
        embedding: EmbeddingSpec | None = None,
        *,
        hard: bool = False,
    ) -> ModelSpec:
        """A decoder-only model, of plain token embeddings by default; ``hard`` means the context's length."""
        return ModelSpec(
            model_type=model_type,
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            decoder=StackSpec(embedding or EmbeddingSpec(self.hidden), tuple(layers), final_norm),
            head=head,
            context_length=self.max_length or None,
            context_is_hard=hard,
        )


def read_shape(
    config: ConfigReader,
    keys: Keys = LLAMA_KEYS,
    *,
    vocab: int,
    hidden: int,
    layers: int,
    heads: int,
    width: int | None = None,
    max_length: int = 0,
    kv_heads: int | None = None,
    head_dim: int | None = None,
) -> Shape:
    """Sizes under the names of ``keys``; the other arguments are the family's defaults.

    A ``kv_heads`` or ``head_dim`` of None follows from the heads, as in the reference; so does a ``width`` of
    None from the hidden size, of which it is the fourfold.
    """
    hidden, heads = config.integer(keys.hidden, hidden), config.integer(keys.heads, heads)
    kv = _stored(config, keys.kv_heads, kv_heads)
    size = _stored(config, keys.head_dim, head_dim)
    if heads % (kv or heads):
        config.problem(f"{keys.heads}={heads} is not a multiple of {keys.kv_heads}={kv}")
    if size is None and hidden % heads:
        config.problem(f"{keys.hidden}={hidden} is not divisible by {keys.heads}={heads}")
    return Shape(
        vocab=config.integer("vocab_size", vocab),
        hidden=hidden,
        width=_width(config, keys.width, width) or 4 * hidden,
        layers=config.integer(keys.layers, layers) if keys.layers else layers,
        heads=heads,
        kv_heads=kv or heads,
        head_dim=size or max(1, hidden // heads),
        max_length=config.integer(keys.max_length, max_length) if keys.max_length else 0,
    )


def _width(config: ConfigReader, key: str, default: int | None) -> int | None:
    """Null counts as absent where the default follows from the hidden size."""
    if default is not None:
        return config.integer(key, default)
    return config.optional_integer(key) if key else None


def _stored(config: ConfigReader, key: str, default: int | None) -> int | None:
    """The default, where configs have no such key."""
    return config.nullable_integer(key, default) if key else default


def rms_norm(config: ConfigReader, default: float = 1e-6) -> NormSpec:
    """``rms_norm_eps``; rounded before it is scaled, as LlamaRMSNorm is."""
    return NormSpec(NormKind.RMS, config.number("rms_norm_eps", default), round_first=True)


def layer_norm(config: ConfigReader, key: str = "layer_norm_eps", default: float = 1e-5) -> NormSpec:
    """LayerNorm with scale and bias."""
    return NormSpec(NormKind.LAYER, config.number(key, default), bias=True)


def gated_mlp(config: ConfigReader, width: int, *, bias: bool = False, act: str = "silu") -> MlpSpec:
    """A gated block with ``hidden_act``."""
    activation = config.choice("hidden_act", ACTIVATIONS, act)
    return MlpSpec(width, activation, gated=True, up_bias=bias, down_bias=bias)


def plain_mlp(
    config: ConfigReader, width: int, act: str, key: str = "activation_function", *, bias: bool = True
) -> MlpSpec:
    """A block of two projections; ``act`` is the default of ``key``."""
    activation = config.choice(key, ACTIVATIONS, act)
    return MlpSpec(width, activation, up_bias=bias, down_bias=bias)


def tied(config: ConfigReader, default: bool = False) -> bool:
    """``tie_word_embeddings``."""
    return config.flag("tie_word_embeddings", default)


FULL, SLIDING = "full_attention", "sliding_attention"
_OLD_NAMES = ("attention",)  # of full_attention
LINEAR = "linear_attention"
#: Kinds of layers that have attention or a state, with names of version 4 that the reference still reads.
KINDS = {FULL: FULL, "attention": FULL, LINEAR: LINEAR, "mamba": LINEAR}


def read_windows(
    config: ConfigReader, layers: int, window: int | None, sliding: Callable[[int], bool]
) -> tuple[int | None, ...]:
    """Each layer's window: from ``layer_types``, or from ``sliding(layer)`` in older configs."""
    types = config.choices("layer_types", (FULL, SLIDING, *_OLD_NAMES), layers)
    if types is None:
        types = [SLIDING if sliding(layer) else FULL for layer in range(layers)]
    if SLIDING in types and window is None:
        config.problem(f"layer_types has {SLIDING!r}, but there is no sliding_window")
    return tuple(window if kind == SLIDING else None for kind in types)


def layer_kinds(config: ConfigReader, layers: int) -> list[str] | None:
    """``layer_types`` of layers that have attention or a state; None without."""
    types = config.choices("layer_types", tuple(KINDS), layers)
    return types and [KINDS[kind] for kind in types]
