"""Sarvam's model with latent attention (Sarvam AI 2026): DeepSeek-V3 with config keys of its own."""

from __future__ import annotations

from exporter.families.deepseek import NAMES, v3_model
from exporter.families.experts import ROUTER_TRAINING
from exporter.families.family import Family
from exporter.families.latents import COMPUTED
from exporter.families.reader import ConfigReader
from exporter.spec import ModelSpec, RopeKind


def read(config: ConfigReader) -> ModelSpec:
    """Queries are not compressed, and experts not grouped, unless a config says so."""
    sizes = {"vocab": 262144, "hidden": 4096, "width": 16384, "layers": 32, "heads": 64}
    also = {"deepseek_yarn": RopeKind.YARN}
    return v3_model(config, "sarvam_mla", 1, {"experts": 128}, also, query_rank=None, **sizes)


SARVAM_MLA = Family(
    read,
    NAMES,
    harmless=(*ROUTER_TRAINING[:1], *COMPUTED, "q_head_dim"),
    aliases={
        "num_experts": "n_routed_experts",
        "num_local_experts": "n_routed_experts",
        "num_mtp_layers": "num_nextn_predict_layers",
        "num_shared_experts": "n_shared_experts",
    },
)
