"""What the readers of mixtures of experts share: sizes, and names in the layouts that the reference knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from exporter.families.names import Experts, Names
from exporter.families.reader import ConfigReader
from exporter.spec import AttentionSpec, LayerSpec, MlpSpec, MoeSpec, NormSpec, RouterSpec

# Config keys of what a mixture's Python call gives out, and of its training.
ROUTER_OUTPUT = ("output_router_logits",)
ROUTER_TRAINING = (*ROUTER_OUTPUT, "router_aux_loss_coef")


def read_mixture(
    config: ConfigReader,
    expert: MlpSpec,
    *,
    experts: int,
    top_k: int | None,
    router: RouterSpec,
    key: str = "num_experts_per_tok",
) -> MoeSpec:
    """A mixture of ``experts`` equal experts; ``top_k`` is the default of ``key``, None: it must be there."""
    chosen = config.integer(key, top_k)
    if chosen > experts:
        config.problem(f"{key}={chosen} is more than the {experts} experts there are")
    return MoeSpec(experts, min(chosen, experts), router, expert)


def softmax_router(config: ConfigReader, *, normalise: bool = False) -> RouterSpec:
    """Probabilities, which ``norm_topk_prob`` makes add up to one; ``normalise`` is its default."""
    return RouterSpec(normalise=config.flag("norm_topk_prob", normalise))


def some_mixed(
    attentions: Iterable[AttentionSpec],
    mixed: Sequence[bool],
    mixture: MoeSpec,
    plain: MlpSpec,
    norm: NormSpec,
) -> list[LayerSpec]:
    """Layers with norms before their branches, of which those that are ``mixed`` have a mixture."""
    return [
        LayerSpec(attention, mixture if mixes else plain, attention_norm=norm, mlp_norm=norm)
        for attention, mixes in zip(attentions, mixed, strict=True)
    ]


def read_layer_types(config: ConfigReader, mixed: Sequence[bool]) -> list[bool]:
    """Which layers mix by ``mlp_layer_types``; ``mixed`` is the family's default."""
    kinds = config.choices("mlp_layer_types", ("dense", "sparse"), len(mixed))
    return list(mixed) if kinds is None else [kind == "sparse" for kind in kinds]


EXPERT = "mlp.experts.{e}."


def gated_experts(base: Names, **others: Any) -> Names:
    """``base`` with the experts of most mixtures: apart, or joined by version 5; ``others`` as of Names."""
    joined = replace(
        base,
        **{
            "router": "mlp.gate",
            "experts": ("", "mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
            "expert_layout": Experts.HALVES,
            **others,
        },
    )
    return replace(
        joined,
        experts=(f"{EXPERT}gate_proj", f"{EXPERT}up_proj", f"{EXPERT}down_proj"),
        expert_layout=Experts.APART,
        joined=joined,
    )
