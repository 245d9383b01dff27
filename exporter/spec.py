"""What the graph needs to know about an architecture: frozen, hashable, free of TensorFlow.

A ``ModelSpec`` is made by a family's config reader and consumed by ``exporter.model``. Layers are listed one
by one, so that models with alternating windows or mixed dense and sparse layers need no special case; layers
that compare equal share one function in the graph. Where a field follows an attribute of the reference, its
comment names it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from exporter.errors import UnsupportedError


class NormKind(enum.Enum):
    """LAYER: Ba et al. 2016. RMS: Zhang and Sennrich 2019 (no mean is subtracted)."""

    LAYER = "layer_norm"
    RMS = "rms_norm"


class Activation(enum.Enum):
    """The reference's ACT2FN entries; several of its names share a formula."""

    GELU = "gelu"  # x * Phi(x), by erf
    GELU_TANH = "gelu_tanh"  # tanh approximation: gelu_new, gelu_fast, gelu_pytorch_tanh
    QUICK_GELU = "quick_gelu"  # x * sigmoid(1.702 x)
    RELU = "relu"
    RELU_SQUARED = "relu2"
    SILU = "silu"
    TANH = "tanh"
    SIGMOID = "sigmoid"
    LINEAR = "linear"
    XIELU = "xielu"  # Huang and Schlag 2024, with learned curvatures of both sides
    GPT_OSS = "gpt_oss"  # clamped swish with alpha 1.702, times (1 + clamped linear half)


class Block(enum.Enum):
    """How a layer adds its branches to the residual stream ``x``.

    SEQUENTIAL: x += attention(norm(x)); x += mlp(norm(x)).
    PARALLEL: x += attention(norm(x)) + mlp(norm'(x)); without an ``mlp_norm`` both read the same norm.
    POST_NORM: x = norm(x + attention(x)); x = norm(x + mlp(x)).
    NORMED_RESIDUAL: h = norm(x); x = h + attention(h); h = norm(x); x = h + mlp(h).
    """

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    POST_NORM = "post_norm"
    NORMED_RESIDUAL = "normed_residual"


class PositionKind(enum.Enum):
    """What is added to the token embedding; rotary and ALiBi live in the attention."""

    NONE = "none"
    LEARNED = "learned"
    SINUSOIDAL = "sinusoidal"  # sines, then cosines; rates from 1 to 1 / 10000 inclusive, as in tensor2tensor
    VASWANI = "vaswani"  # sines, then cosines; rates 10000 ** (-2 j / size), as in the paper; a table


class RopeKind(enum.Enum):
    """``rope_type`` of the reference's ``rope_parameters``."""

    DEFAULT = "default"
    LINEAR = "linear"
    DYNAMIC = "dynamic"
    YARN = "yarn"
    LLAMA3 = "llama3"
    LONGROPE = "longrope"
    PROPORTIONAL = "proportional"


class RopeLayout(enum.Enum):
    """Which pairs of features turn together: (j, j + dim / 2), or (2 j, 2 j + 1)."""

    HALVES = "halves"
    INTERLEAVED = "interleaved"


class QkNormScope(enum.Enum):
    """What a query/key norm runs over."""

    HEAD = "head"  # each head's features, one scale for all heads
    PER_HEAD = "per_head"  # each head's features, a scale of its own
    ALL = "all"  # the whole projection


class Score(enum.Enum):
    """What a router makes of its logits."""

    SOFTMAX = "softmax"  # probabilities over all experts
    SIGMOID = "sigmoid"  # each expert by itself
    SPARSEMIXER = "sparsemixer"  # a softmax for every choice, over the logits near the best one


class RotaryRounding(enum.Enum):
    """What a half-precision model rounds to its dtype when it turns queries and keys."""

    EACH = "each"  # cosines and sines, both products, and their sum
    ANGLES = "angles"  # cosines and sines, and the sum
    SUM = "sum"  # the sum alone


@dataclass(frozen=True)
class NormSpec:
    """A normalisation; ``scale`` and ``bias`` say which weights it has.

    ``offset`` is added to the stored scale. ``round_first`` tells that a half-precision model rounds the
    normalised numbers to its dtype before it scales them, not after. ``wide`` keeps the weights of a float16
    model's in float32 (the reference's ``_keep_in_fp32_modules``).
    """

    kind: NormKind
    epsilon: float
    scale: bool = True
    bias: bool = False
    offset: float = 0.0
    round_first: bool = False
    wide: bool = False


@dataclass(frozen=True)
class RotarySpec:
    """Rotary embedding (Su et al. 2021) of the first ``dim`` features of a head.

    ``factor``, ``original_length`` and the rest are the reference's ``rope_parameters`` after its own
    standardisation; unused ones stay at their defaults. ``max_length`` is ``max_position_embeddings``.
    """

    dim: int
    theta: float
    kind: RopeKind = RopeKind.DEFAULT
    layout: RopeLayout = RopeLayout.HALVES
    rounding: RotaryRounding = RotaryRounding.EACH
    factor: float = 1.0
    max_length: int = 0
    original_length: int = 0
    attention_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    backwards: bool = False  # turns by the negative angle
    still: int = 0  # the last pairs of features that do not turn (proportional)
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()


@dataclass(frozen=True)
class AlibiSpec:
    """Attention with linear biases (Press et al. 2021): ``slopes[head] * key position``, added to the scores.

    ``multiplied`` is the dtype that slopes and positions are multiplied in, ``rounded`` what the product is
    rounded to after that ("model": the model's dtype); ``scale`` multiplies what is left of it.
    """

    slopes: tuple[float, ...]
    scale: float = 1.0
    multiplied: str = "float32"
    rounded: str = "float32"


@dataclass(frozen=True)
class RelativeSpec:
    """T5's relative position bias (Raffel et al. 2020): a learned number per head and bucket of distances.

    ``per_layer`` tells whether every layer has a table of its own, or all of a stack share one.
    """

    buckets: int
    max_distance: int
    bidirectional: bool
    per_layer: bool = False


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


@dataclass(frozen=True)
class AttentionSpec:
    """Attention of one layer; ``scale`` multiplies the query, ``window`` counts the query's own position.

    With a ``latent`` its vectors are the keys, of one head, and the values as well: ``kv_heads`` is 1, and
    ``head_dim`` the latent's width.
    """

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    qkv_bias: bool = False
    out_bias: bool = False
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


@dataclass(frozen=True)
class ShortConvSpec:
    """A gated short convolution (LFM2): C * conv(B * x), where B, C and x are projections of the input.

    ``kernel`` counts the token itself and those before it.
    """

    channels: int
    kernel: int
    bias: bool = False

    @property
    def window(self) -> tuple[int, int]:
        """What the convolution looks back at: [tokens, channels]."""
        return self.kernel - 1, self.channels

    @property
    def memory(self) -> tuple[int, ...] | None:
        """The shape of what is carried beside the window, in float32; None without."""
        return None


@dataclass(frozen=True)
class GatedDeltaSpec:
    """A gated delta net (Yang et al. 2024): a map from keys to values that decays and is corrected.

    Query, key and value go through a convolution of ``kernel`` tokens and ``activation`` first. ``norm`` runs
    over each head of what is read, before the gate. A ``write_scale`` of 2 lets a map's values change sign.
    ``wide_decay`` keeps the learned decays of half-precision models in float32.
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    activation: Activation
    norm: NormSpec
    write_scale: float = 1.0
    wide_decay: bool = False

    @property
    def channels(self) -> tuple[int, int, int]:
        """Of query, key and value."""
        keys = self.key_heads * self.key_dim
        return keys, keys, self.value_heads * self.value_dim

    @property
    def window(self) -> tuple[int, int]:
        """As of ShortConvSpec."""
        return self.kernel - 1, sum(self.channels)

    @property
    def memory(self) -> tuple[int, ...] | None:
        """As of ShortConvSpec: [heads, key_dim, value_dim]."""
        return self.value_heads, self.key_dim, self.value_dim


@dataclass(frozen=True)
class Mamba2Spec:
    """A selective state space with one decay a head (Dao and Gu 2024).

    Attributes:
      groups: heads of one group share B and C.
      states: the size of a state, of each of a head's features.
      activation: behind the convolution.
      conv_bias, in_bias, out_bias: which weights have one.
      norm: over each group of the output; None without.
      norm_first: the norm comes before the gate, not after it.
      limits: of the time steps while a prompt is read; the reference does not apply them while it generates.
      scales: factors of gate, x, B, C and time steps behind the projection (Falcon-H1's mup_vector).
      in_scale, out_scale: factors of what the layer reads and of what it adds.
    """

    heads: int
    head_dim: int
    groups: int
    states: int
    kernel: int
    activation: Activation
    conv_bias: bool = True
    in_bias: bool = False
    out_bias: bool = False
    norm: NormSpec | None = None
    norm_first: bool = False
    limits: tuple[float, float] = (0.0, math.inf)
    scales: tuple[float, float, float, float, float] = (1.0, 1.0, 1.0, 1.0, 1.0)
    in_scale: float = 1.0
    out_scale: float = 1.0

    @property
    def width(self) -> int:
        """Features of all heads."""
        return self.heads * self.head_dim

    @property
    def channels(self) -> tuple[int, int, int]:
        """Of x, B and C."""
        return self.width, self.groups * self.states, self.groups * self.states

    @property
    def window(self) -> tuple[int, int]:
        """As of ShortConvSpec."""
        return self.kernel - 1, sum(self.channels)

    @property
    def memory(self) -> tuple[int, ...] | None:
        """As of ShortConvSpec: [heads, states, head_dim]."""
        return self.heads, self.states, self.head_dim


@dataclass(frozen=True)
class MambaSpec:
    """A selective state space with a decay of its own for every feature and state (Gu and Dao 2023).

    Attributes:
      channels: features.
      states: the size of each feature's state.
      rank: of the projection to time steps.
      activation: behind the convolution, and of the gate.
      norm: over each of time steps, B and C; None without.
    """

    channels: int
    states: int
    rank: int
    kernel: int
    activation: Activation
    conv_bias: bool = True
    bias: bool = False
    norm: NormSpec | None = None

    @property
    def window(self) -> tuple[int, int]:
        """As of ShortConvSpec."""
        return self.kernel - 1, self.channels

    @property
    def memory(self) -> tuple[int, ...] | None:
        """As of ShortConvSpec: [states, channels]."""
        return self.states, self.channels


StateSpec: TypeAlias = ShortConvSpec | GatedDeltaSpec | Mamba2Spec | MambaSpec


@dataclass(frozen=True)
class MlpSpec:
    """Feed-forward block; ``gated`` multiplies activation(gate) by a second projection (Shazeer 2020).

    ``wide_down`` keeps the second projection of a float16 model in float32, and so the residual stream behind
    it (the reference's ``_keep_in_fp32_modules``). ``gate_scale`` and ``down_scale`` multiply what the gate's
    and the second projection give.
    """

    width: int
    activation: Activation
    gated: bool = False
    up_bias: bool = False
    down_bias: bool = False
    wide_down: bool = False
    gate_scale: float = 1.0
    down_scale: float = 1.0


@dataclass(frozen=True)
class RouterSpec:
    """How a token's experts are chosen and weighed: those of the best scores, by their scores.

    Attributes:
      bias: the logits have one.
      correction: a learned number per expert is added to the scores that choose, not to those that weigh.
      groups, chosen_groups: experts stand in equal groups, and only those of the best groups are chosen. A
        group is worth as much as its ``group_best`` best experts together.
      normalise: the weights of a token add up to one. ``added`` is added to the sum that divides them, and
        that counts as ``least`` at least.
      scale: multiplies the weights (``routed_scaling_factor``).
      on_input: an expert reads the token times its weight; else its output is multiplied.
      tolerance: sparsemixer's ``router_jitter_noise``.
      norm: of what the router reads, which is then multiplied by hidden_size ** -0.5.
      expert_scale: a learned number of each expert multiplies its weight.
      rounded: scores and weights are computed in the model's dtype, so that near scores become equal.
      wide, wide_correction: in half-precision models the kernel, and so the logits, and the correction stay
        in float32 (the reference's ``_keep_in_fp32_modules_strict``).
    """

    score: Score = Score.SOFTMAX
    bias: bool = False
    correction: bool = False
    groups: int = 1
    chosen_groups: int = 1
    group_best: int = 2
    normalise: bool = False
    added: float = 0.0
    least: float = 0.0
    scale: float = 1.0
    on_input: bool = False
    tolerance: float = 0.0
    norm: NormSpec | None = None
    expert_scale: bool = False
    rounded: bool = False
    wide: bool = False
    wide_correction: bool = True


@dataclass(frozen=True)
class MoeSpec:
    """Mixture of experts; a ``shared`` block runs for every token, with ``shared_gate`` behind a sigmoid.

    ``scale`` multiplies the sum of all.
    """

    experts: int
    top_k: int
    router: RouterSpec
    expert: MlpSpec
    shared: MlpSpec | None = None
    shared_gate: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class BesideSpec:
    """A mixture beside a dense block: norm(block(norm(x))) + norm(mixture(norm(x))), routed by x itself.

    ``norm`` is the kind of its three norms; the router has one too (see RouterSpec).
    """

    mixture: MoeSpec
    norm: NormSpec


@dataclass(frozen=True)
class LayerInputSpec:
    """A third branch: norm(project(activation(gate(x)) * what the token itself says to this layer)).

    ``width`` counts the numbers of one token and one layer (``hidden_size_per_layer_input``).
    """

    width: int
    activation: Activation
    norm: NormSpec


@dataclass(frozen=True)
class LayerSpec:
    """One transformer layer. Norms and branches that are None are absent.

    ``attention_out_norm`` and ``mlp_out_norm`` run over a branch's output before it is added;
    ``residual_scale`` multiplies that output. ``cross_attention`` stands between attention and feed-forward
    block in the decoder of an encoder-decoder model. A layer with both attention and a ``state`` adds both
    branches; they read the same norm. ``wide_residual``: the residual stream is in float32 from here on.
    ``scaled``: a learned number multiplies the residual stream behind the layer.
    """

    attention: AttentionSpec | None = None
    mlp: MlpSpec | MoeSpec | None = None
    block: Block = Block.SEQUENTIAL
    attention_norm: NormSpec | None = None
    mlp_norm: NormSpec | None = None
    attention_out_norm: NormSpec | None = None
    mlp_out_norm: NormSpec | None = None
    cross_attention: AttentionSpec | None = None
    cross_norm: NormSpec | None = None
    cross_out_norm: NormSpec | None = None
    residual_scale: float = 1.0
    state: StateSpec | None = None
    wide_residual: bool = False
    beside: BesideSpec | None = None
    layer_input: LayerInputSpec | None = None
    scaled: bool = False


@dataclass(frozen=True)
class LayerInputsSpec:
    """Per-layer embeddings: (norm(project(x)) + an entry of a table of their own) / sqrt(2), by layer.

    Attributes:
      vocab: rows of the table (``vocab_size_per_layer_input``).
      layers, width: each row holds ``width`` numbers for every layer.
      norm: of the projected embedding, layer by layer.
    """

    vocab: int
    layers: int
    width: int
    norm: NormSpec


@dataclass(frozen=True)
class EmbeddingSpec:
    """Token and position embedding; a ``size`` other than the hidden size is projected to it.

    ``rounded_scale``: ``scale`` is a number of the model's dtype.

    ``norm_first`` normalises the tokens before positions are added, not after. A ``padding_token`` does not
    advance positions and has none of its own, even where it is an ordinary token of a prompt (fairseq).
    ``placeholders``, of images and the like, are read as the ``plain_token``.
    """

    size: int
    scale: float = 1.0
    rounded_scale: bool = False
    positions: PositionKind = PositionKind.NONE
    position_count: int = 0  # rows of the position table that positions may name
    position_offset: int = 0  # rows of the table that come before position 0
    norm: NormSpec | None = None
    norm_first: bool = False
    padding_token: int | None = None
    layer_inputs: LayerInputsSpec | None = None
    placeholders: tuple[int, ...] = ()
    plain_token: int = 0


@dataclass(frozen=True)
class HeadBlockSpec:
    """A block before the logits, as BERT's head has it: norm(activation(dense(x)))."""

    activation: Activation
    norm: NormSpec
    bias: bool = False


@dataclass(frozen=True)
class HeadSpec:
    """Output head: hidden state to logits. ``tied`` uses the token embedding."""

    tied: bool
    bias: bool = False
    scale: float = 1.0  # multiplies the logits
    softcap: float | None = None  # final_logit_softcapping
    block: HeadBlockSpec | None = None


@dataclass(frozen=True)
class StackSpec:
    """Embedding, layers and final norm of a decoder or an encoder.

    ``vocab_size`` and ``hidden_size`` are given for an encoder that differs in them from its decoder.
    """

    embedding: EmbeddingSpec
    layers: tuple[LayerSpec, ...]
    final_norm: NormSpec | None
    vocab_size: int | None = None
    hidden_size: int | None = None

    @property
    def attentions(self) -> tuple[AttentionSpec, ...]:
        """Of the layers that have one."""
        return tuple(layer.attention for layer in self.layers if layer.attention)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        """Of the layers that carry one."""
        return tuple(layer.state for layer in self.layers if layer.state)


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    Attributes:
      context_length: the longest sequence the checkpoint was made for, None where nothing bounds it; of an
        encoder-decoder model the longest of either side.
      context_is_hard: positions beyond ``context_length`` do not exist (a learned table), so that an export
        must not be able to reach them.
      ignored_config_keys: keys that the user passed on with --ignore-config-key.
      unread_config_keys: keys that the reference does not read, so that they cannot matter; no part of what a
        model is, and so not compared.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    decoder: StackSpec
    head: HeadSpec
    context_length: int | None
    context_is_hard: bool = False
    kind: Literal["decoder_only", "encoder_decoder"] = "decoder_only"
    encoder: StackSpec | None = None
    ignored_config_keys: tuple[str, ...] = field(default=())
    unread_config_keys: tuple[str, ...] = field(default=(), compare=False)

    def check_lengths(self, prompt_length: int, max_new_tokens: int) -> None:
        """Raises UnsupportedError where a prompt bucket and its new tokens would leave the reference's path.

        That is so beyond a hard context (encoder and decoder of an encoder-decoder model have one each), and
        where a row could cross from longrope's short factors to its long ones while it generates: the
        reference then computes its whole cache anew.
        """
        total = prompt_length + max_new_tokens
        wanted = f"prompt length {prompt_length} + max_new_tokens {max_new_tokens} = {total}"
        if self.kind == "encoder_decoder":
            # The decoder reads its start token and every new token but the last.
            total = max(prompt_length, max_new_tokens)
            wanted = f"the longer of prompt length {prompt_length} and max_new_tokens {max_new_tokens}"
        if self.context_is_hard and self.context_length is not None and total > self.context_length:
            raise UnsupportedError(
                f"{wanted} exceeds the {self.context_length} positions of this {self.model_type} checkpoint"
            )
        for attention in self.decoder.attentions:
            rotary = attention.rotary
            if rotary and rotary.kind is RopeKind.LONGROPE and total > rotary.original_length:
                raise UnsupportedError(
                    f"{wanted} crosses original_max_position_embeddings={rotary.original_length}, where "
                    "longrope changes its factors and the reference restarts its cache; stay below it"
                )
