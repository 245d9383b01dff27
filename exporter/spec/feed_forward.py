"""Feed-forward blocks: dense ones, and mixtures of experts with their routers."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from exporter.spec.parts import Activation, NormSpec


@dataclass(frozen=True)
class MlpSpec:
    """Feed-forward block; ``gated`` multiplies activation(gate) by a second projection (Shazeer 2020).

    ``wide_down`` keeps the second projection of a float16 model in float32, and so the residual stream behind
    it (the reference's ``_keep_in_fp32_modules``). ``gate_scale`` and ``down_scale`` multiply what the gate's
    and the second projection give. ``sparsity`` is the share of the gate's numbers that are cut to 0 before
    the activation, as if they were of a normal distribution; what is left is counted from there.
    """

    width: int
    activation: Activation
    gated: bool = False
    up_bias: bool = False
    down_bias: bool = False
    bias_apart: bool = False  # these biases are added to rounded products
    wide_down: bool = False
    gate_scale: float = 1.0
    down_scale: float = 1.0
    sparsity: float = 0.0


class Score(enum.Enum):
    """What a router makes of its logits."""

    SOFTMAX = "softmax"  # probabilities over all experts
    SIGMOID = "sigmoid"  # each expert by itself
    SPARSEMIXER = "sparsemixer"  # a softmax for every choice, over the logits near the best one


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
class ChoiceSpec:
    """Each token chooses ``top_k`` of the experts."""

    experts: int
    top_k: int
    router: RouterSpec


@dataclass(frozen=True)
class MoeSpec(ChoiceSpec):
    """Mixture of experts; a ``shared`` block runs for every token, with ``shared_gate`` behind a sigmoid.

    ``out_bias`` says that a bias is added to the sum of all, and ``scale`` multiplies it.
    """

    expert: MlpSpec
    shared: MlpSpec | None = None
    shared_gate: bool = False
    out_bias: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class ChannelMixSpec:
    """The feed-forward block of RWKV 4: sigmoid(gate(x)) * down(relu(up(x)) ** 2).

    Both projections read a blend of a token and the one before, which the layer's state keeps.
    """

    width: int


@dataclass(frozen=True)
class BesideSpec:
    """A mixture beside a dense block: norm(block(norm(x))) + norm(mixture(norm(x))), routed by x itself.

    ``norm`` is the kind of its three norms; the router has one too (see RouterSpec).
    """

    mixture: MoeSpec
    norm: NormSpec
