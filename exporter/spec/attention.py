"""The attention of a layer."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from exporter.spec.feed_forward import ChoiceSpec
from exporter.spec.parts import NormSpec, check_unused
from exporter.spec.positions import AlibiSpec, RelativeSpec, RotarySpec


class QkNormScope(enum.Enum):
    """What a query/key norm runs over."""

    HEAD = "head"  # each head's features, one scale for all heads
    PER_HEAD = "per_head"  # each head's features, a scale of its own
    ALL = "all"  # the whole projection


@dataclass(frozen=True)
class LatentSpec:
    """Multi-head latent attention (DeepSeek-AI 2024, section 2.1): what the cache keeps of a token.

    That is a normalised vector, which every head makes its key and its value of, and a rotated part of the
    key that all heads share: ``rank + rotated`` numbers, whatever the number of heads.

    Attributes:
      rank: of keys and values (``kv_lora_rank``).
      query_rank: of queries (``q_lora_rank``); None where they are projected at once.
      plain, rotated: features of a head's query and key without and with positions (``qk_nope_head_dim`` and
        ``qk_rope_head_dim``).
      value: features of a head's value (``v_head_dim``).
      norm: of both compressed vectors.
    """

    rank: int
    query_rank: int | None
    plain: int
    rotated: int
    value: int
    norm: NormSpec

    @property
    def width(self) -> int:
        """Numbers of a token in the cache."""
        return self.rank + self.rotated


@dataclass(frozen=True)
class DifferenceSpec:
    """Differential attention (Ye et al. 2024): its share's start, and the epsilon of the norm behind it."""

    initial: float
    epsilon: float


#: What latents go without.
_NOT_LATENT = (
    "bias_apart",
    "borrowed",
    "clip",
    "difference",
    "qk_norm",
    "value_dim",
    "value_is_key",
    "value_norm",
    "value_scale",
)
#: What mixtures of heads go without.
_NOT_MIXED = (
    "bias_apart",
    "borrowed",
    "difference",
    "gated",
    "latent",
    "qk_norm",
    "qkv_bias",
    "relative",
    "sinks",
    "value_is_key",
    "value_norm",
)


@dataclass(frozen=True)
class AttentionSpec:
    """Attention of one layer; ``window`` counts the query's own position.

    ``scale`` multiplies the query, or the scores where these are capped.

    With a ``latent`` its vectors are the keys, of one head, and the values as well: ``kv_heads`` is 1, and
    ``head_dim`` the latent's width.

    With ``experts`` each is a projection to one query for every key head, and one back from what these read:
    a token has as many queries for a key head as it chooses experts.

    Raises:
      UnsupportedError: latent attention or a mixture of heads has a part that the graph would leave out.
    """

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    qkv_bias: bool = False
    out_bias: bool = False
    bias_apart: bool = False  # these biases are added to rounded products
    rotary: RotarySpec | None = None
    alibi: AlibiSpec | None = None
    relative: RelativeSpec | None = None
    window: int | None = None
    chunked: bool = False  # windows begin at multiples of their size (attention_chunk_size)
    softcap: float | None = None  # attn_logit_softcapping
    clip: float | None = None  # clip_qkv; query and key norms of a whole projection come before it
    qk_norm: NormSpec | None = None
    qk_norm_scope: QkNormScope = QkNormScope.HEAD
    qk_norm_last: bool = False  # heads are normalised after they are turned, not before
    sinks: bool = False  # a learned logit per head that takes probability and carries no value
    wide_sinks: bool = False  # they stay in float32 in half-precision models
    gated: bool = False  # what is read is multiplied by the sigmoid of one more projection of the input
    gate_by_head: bool = False  # one number for each head, not for each of its features
    in_scale: float = 1.0  # multiplies the input
    out_scale: float = 1.0  # multiplies what the layer adds
    position_scale: tuple[float, int] | None = None  # query *= 1 + beta * log(1 + position // length)
    position_scale_offset: int = 0  # added to the position there
    value_dim: int | None = None  # features of a head's value; None: head_dim
    value_scale: float = 1.0  # multiplies the value
    value_norm: NormSpec | None = None  # of each head's value, without weights
    value_is_key: bool = False  # values are projected by the keys' weights (attention_k_eq_v)
    lent: bool = False  # later layers read this one's keys and values
    borrowed: int | None = None  # the layer whose keys and values it reads; it has none of its own
    latent: LatentSpec | None = None
    difference: DifferenceSpec | None = None
    experts: ChoiceSpec | None = None

    def __post_init__(self) -> None:
        if self.latent:
            check_unused("latent attention", self, _NOT_LATENT)
        if self.experts:
            check_unused("a mixture of heads", self, _NOT_MIXED)

    @property
    def widths(self) -> tuple[int, int]:
        """Features of a head's key and of its value where a prompt is read."""
        if self.latent:
            return self.latent.plain + self.latent.rotated, self.latent.value
        return self.head_dim, self.value_dim or self.head_dim

    @property
    def cached_numbers(self) -> int:
        """Of one token, in the cache."""
        if self.borrowed is not None:
            return 0
        return self.kv_heads * (self.head_dim if self.latent else sum(self.widths))
