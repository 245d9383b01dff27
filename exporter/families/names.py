"""What a family says of its checkpoints: the names of its weights, and how they are stored."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Linear(enum.Enum):
    """Stored layout of linear kernels: torch.nn.Linear is [out, in], GPT-2's Conv1D is [in, out]."""

    OUT_IN = "out_in"
    IN_OUT = "in_out"


class Fused(enum.Enum):
    """Order of a fused query/key/value projection's outputs."""

    CONCATENATED = "concatenated"  # all q, all k, all v
    GROUPED = "grouped"  # per key/value head: its q heads, k, v
    CODEGEN = "codegen"  # four blocks, each q, v, k of a quarter of the heads


class Experts(enum.Enum):
    """How the experts of a layer are stored."""

    APART = "apart"  # each in tensors of its own
    ALTERNATING = "alternating"  # in joint tensors [experts, in, out], columns of gate and up in turn
    HALVES = "halves"  # in joint tensors [experts, out, in], all rows of the gate before those of up
    COLUMNS = "columns"  # in joint tensors [experts, in, out], all columns of the gate before those of up


@dataclass(frozen=True)
class LatentNames:
    """Names of a multi-head latent attention, whose output has the usual one; ``q`` is not divided."""

    q: str = "self_attn.q_proj"
    q_a: str = "self_attn.q_a_proj"
    q_a_norm: str = "self_attn.q_a_layernorm"
    q_b: str = "self_attn.q_b_proj"
    kv_a: str = "self_attn.kv_a_proj_with_mqa"
    kv_a_norm: str = "self_attn.kv_a_layernorm"
    kv_b: str = "self_attn.kv_b_proj"


@dataclass(frozen=True)
class MixedHeadsNames:
    """Names of a mixture of heads: projections, then whole names of experts' tensors and of a bias."""

    kv: str
    router: str
    q: str
    out: str
    bias: str


@dataclass(frozen=True)
class StateNames:
    """Names of the parts of a layer that carries a state, behind the layer's; "" where the family has none.

    Attributes:
      inputs: projections of the hidden state, side by side; a gated delta net with one alone keeps its rows
        by key head.
      rates: a gated delta net's projections to strengths and steps, as ``inputs``; a gated linear
        recurrence's input gate and decay, without "_weight" and "_bias".
      conv: the convolution, or those of its parts.
      decay, dt_bias, skip, bonus: whole names.
      select, step: Mamba's projections to time steps, B and C, and from there to channels.
      norms: of time steps, B and C.
      mix: whole names of how much of a token counts beside the one before: for the key, value and gate of a
        time mix, as its ``inputs``, and for ``up`` and ``gate`` of a channel mix.
    """

    inputs: tuple[str, ...]
    out: str
    conv: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    decay: str = ""
    dt_bias: str = ""
    skip: str = ""
    norm: str = ""
    select: str = ""
    step: str = ""
    norms: tuple[str, ...] = ()
    bonus: str = ""
    mix: tuple[str, ...] = ()


@dataclass(frozen=True)
class StreamNames:
    """Names of what makes and mixes the parts of a residual stream, and of what joins it beside attention.

    ``spread`` and ``merged`` are lists, of one projection for every part but the first; ``scale`` is a whole
    name. ``laurel``: both projections, and the norm behind them.
    """

    spread: str = "altup_projections"
    merged: str = "altup_unembed_projections"
    router: str = "altup.modality_router"
    router_norm: str = "altup.router_norm"
    predict: str = "altup.prediction_coefs"
    correct: str = "altup.correction_coefs"
    scale: str = "altup.correct_output_scale"
    laurel: tuple[str, str, str] = ("laurel.linear_left", "laurel.linear_right", "laurel.post_laurel_norm")


@dataclass(frozen=True)
class Names:
    """A family's weight names, without ".weight" and ".bias"; ``{i}`` is the layer, ``{e}`` the expert.

    Attributes:
      prefix: what stands before every name but the head's.
      base: the reference's ``base_model_prefix``, which a stored name may have or lack; where it is empty,
        the first word of ``prefix``.
      renames: what the reference replaces in stored names, in its order: regular expression and replacement.
      qkv: three names, or one for a fused projection, whose order ``fused`` tells.
      gate, up: with an empty ``gate``, ``up`` is the fused [gate | up] projection of a gated block.
      latent, mixed_heads: the names in a family with latent attention or mixtures of heads, where ``qkv`` is
        empty.
      activation: where an activation keeps what it has learned.
      q_norm, k_norm: with a ``{h}``, every head's scale is stored by itself.
      lambdas: what differential attention learns, in the order q1, k1, q2, k2.
      experts: gate, up and down projection of expert ``{e}``; where all experts share a tensor, gate is empty
        and ``up`` is both. ``expert_layout`` tells; with ``experts_either_way`` a checkpoint may store joint
        ones with their axes the other way round.
      correction: the numbers that choose experts and do not weigh them, by their whole name; stored with
        ``correction_axes`` axes of size 1 in front. With ``correction_optional`` a checkpoint may lack them.
      mixture_bias: the whole name of a bias behind a mixture.
      joined: the names in checkpoints that keep a layer's experts in joint tensors (saved by version 5 of the
        reference without its original format), None where there is one way.
      relative: a layer's table of relative biases; the first layer's where all share one.
      cross: query, key and value of the cross-attention.
      encoder: the names of an encoder's weights, under the same prefix; None for decoder-only models.
      common: the token table that encoder, decoder and head share, where they share one.
      head_dense, head_norm: of a block before the logits.
      head_bias: a bias of the logits, [1, vocab], that a checkpoint may lack.
      state: of layers that carry a state.
      beside: the norms of a mixture beside a dense block: behind the block, before and behind the mixture.
      router_norm, expert_scale: whole names of a router's learned factors.
      layer_input: gate, projection and norm of a layer's part of the per-layer embeddings.
      layer_inputs: of these themselves, table, projection and norm.
      scaled: the whole name of the number behind a layer.
      stream: of a residual stream of several parts.
      media: modules that embed the tokens of images and the like, by their whole names.
      unused: regular expressions of stored tensors that inference does not need (masks, rotary tables).
      towers: modules beside the text model (of images, sound, drafts), which are left out, and listed.
    """

    prefix: str
    tokens: str
    layer: str
    qkv: tuple[str, ...]
    out: str
    up: str
    down: str
    activation: str = ""
    attention_norm: str = ""
    mlp_norm: str = ""
    final_norm: str = ""
    gate: str = ""
    attention_out_norm: str = ""
    mlp_out_norm: str = ""
    q_norm: str = ""
    k_norm: str = ""
    sinks: str = ""
    attention_gate: str = ""
    latent: LatentNames | None = None
    mixed_heads: MixedHeadsNames | None = None
    lambdas: tuple[str, ...] = ()
    positions: str = ""
    embedding_norm: str = ""
    relative: str = ""
    cross: tuple[str, str, str] = ("", "", "")
    cross_out: str = ""
    cross_norm: str = ""
    cross_out_norm: str = ""
    project_in: str = ""
    project_out: str = ""
    router: str = ""
    correction: str = ""
    correction_optional: bool = False
    correction_axes: int = 0
    experts: tuple[str, str, str] = ("", "", "")
    expert_layout: Experts = Experts.APART
    experts_either_way: bool = False
    mixture_bias: str = ""
    joined: Names | None = None
    shared_gate: str = ""
    shared: tuple[str, str, str] = ("", "", "")
    head: str = "lm_head"
    head_dense: str = ""
    head_norm: str = ""
    linear: Linear = Linear.OUT_IN
    fused: Fused = Fused.CONCATENATED
    beside: tuple[str, str, str] = ("", "", "")
    router_norm: str = ""
    expert_scale: str = ""
    layer_input: tuple[str, str, str] = ("", "", "")
    layer_inputs: tuple[str, str, str] = ("", "", "")
    scaled: str = ""
    unused: tuple[str, ...] = ()
    towers: tuple[str, ...] = ()
    base: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    encoder: Names | None = None
    common: str = ""
    head_bias: str = ""
    state: StateNames | None = None
    stream: StreamNames | None = None
    media: tuple[str, ...] = ()

    @property
    def base_prefix(self) -> str:
        """``base``, or what it is by default."""
        return self.base or self.prefix.partition(".")[0]


@dataclass(frozen=True)
class Tables:
    """Stored names of the token tables and the output head.

    Attributes:
      tokens: the decoder's table.
      encoder: the encoder's, None where it is the decoder's.
      head: None where it is the decoder's table.
      copies: every stored tensor that is one of them or equals one.
    """

    tokens: str
    encoder: str | None = None
    head: str | None = None
    copies: tuple[str, ...] = ()
