"""The router of DeepSeek-V3 (2024), which other families took over with its config keys and names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exporter.families.experts import gated_experts, read_mixture
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.families.shape import gated_mlp
from exporter.spec import MoeSpec, RouterSpec, Score


def read_deepseek_mixture(
    config: ConfigReader,
    *,
    width: int,
    experts: int | None,
    top_k: int | None,
    shared: int | None = 1,
    experts_key: str = "n_routed_experts",
    shared_key: str = "n_shared_experts",
    **defaults: Any,
) -> MoeSpec:
    """Experts of ``moe_intermediate_size``, beside a block that is as wide as ``shared`` of them.

    The numbers are the family's defaults, None where a config must give them; ``defaults`` are those of
    ``read_deepseek_router``. A ``shared_key`` of "" says that there is no such block.
    """
    expert = gated_mlp(config, config.integer("moe_intermediate_size", width))
    count = config.integer(experts_key, experts)
    router = read_deepseek_router(config, **defaults)
    mixture = read_mixture(config, expert, experts=count, top_k=top_k, router=router)
    check_groups(config, mixture)
    if not shared_key:
        return mixture
    blocks = config.integer(shared_key, shared)
    return replace(mixture, shared=replace(expert, width=expert.width * blocks))


def read_deepseek_router(
    config: ConfigReader,
    *,
    groups: int = 1,
    chosen_groups: int = 1,
    normalise: bool = True,
    scale: float = 1.0,
) -> RouterSpec:
    """Sigmoid scores; a correction and groups of experts have a say in the choice (DeepseekV3TopkRouter)."""
    return RouterSpec(
        Score.SIGMOID,
        correction=True,
        groups=config.integer("n_group", groups),
        chosen_groups=config.integer("topk_group", chosen_groups),
        normalise=config.flag("norm_topk_prob", normalise, null=False),
        added=1e-20,
        scale=config.number("routed_scaling_factor", scale),
        wide=True,
    )


def check_groups(config: ConfigReader, mixture: MoeSpec) -> None:
    """Notes groups that do not divide the experts, or of which too few are left to choose from."""
    router, experts = mixture.router, mixture.experts
    size = experts // router.groups
    if experts % router.groups:
        config.problem(f"n_group={router.groups} does not divide the {experts} experts there are")
    elif router.chosen_groups > router.groups:
        config.problem(f"topk_group={router.chosen_groups} is more than n_group={router.groups}")
    elif router.groups > 1 and size < router.group_best:
        config.problem(f"n_group={router.groups} leaves a group fewer than {router.group_best} experts")
    elif size * router.chosen_groups < mixture.top_k:
        config.problem(
            f"topk_group={router.chosen_groups} leaves {size * router.chosen_groups} experts, "
            f"and num_experts_per_tok={mixture.top_k} are to be chosen"
        )


def deepseek_experts(base: Names, **others: Any) -> Names:
    """``base`` with the names of this router's mixtures, in both layouts; ``others`` as of Names."""
    shared = "mlp.shared_experts."
    return gated_experts(
        base,
        **{
            "correction": "mlp.gate.e_score_correction_bias",
            "shared": (f"{shared}gate_proj", f"{shared}up_proj", f"{shared}down_proj"),
            **others,
        },
    )
