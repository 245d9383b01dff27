"""The mixtures of experts of Qwen 2 and 3; some layers of the latter may be dense."""

from __future__ import annotations

from typing import Any

from exporter.checkpoint.keras_hub.architecture import SIZES, Architecture, Config, linear_rope
from exporter.checkpoint.keras_hub.llama_kin import attention, decoder
from exporter.checkpoint.keras_hub.reshaping import TURNED
from exporter.checkpoint.keras_hub.tables import Entries, dense

_KEYS = {
    **SIZES,
    "layer_norm_epsilon": "rms_norm_eps",
    "moe_intermediate_dim": "moe_intermediate_size",
    "num_experts": "num_experts",
    "top_k": "num_experts_per_tok",
    "norm_top_k_prob": "norm_topk_prob",
}
_DENSE = {"decoder_sparse_step": "decoder_sparse_step", "mlp_only_layers": "mlp_only_layers"}
_ROPE = ("rope_max_wavelength", "rope_scaling_factor")
_READ = frozenset({*_ROPE, "tie_word_embeddings", "sliding_window_size"})


def _gated(name: str, stored: str) -> Entries:
    return {
        **dense(f"{name}.gate_proj", f"{stored}/_feedforward_gate_dense"),
        **dense(f"{name}.up_proj", f"{stored}/_feedforward_intermediate_dense"),
        **dense(f"{name}.down_proj", f"{stored}/_feedforward_output_dense"),
    }


_MIXTURE = {
    **_gated("mlp", "mlp"),
    **dense("mlp.gate", "mlp/_sparse_feedforward_gate_dense"),
    "mlp.experts.gate_up_proj": ("mlp/expert_bank/0", TURNED),
    "mlp.experts.down_proj": ("mlp/expert_bank/1", TURNED),
    **_gated("mlp.shared_expert", "mlp/shared_expert_dense"),
    **dense("mlp.shared_expert_gate", "mlp/shared_expert_gate_dense"),
}

QWEN2_MOE = Architecture(
    "qwen2_moe",
    {**_KEYS, "shared_expert_intermediate_dim": "shared_expert_intermediate_size"},
    decoder(
        "qwen_layer_norm",
        "qwen_moe_transformer_decoder",
        {**attention("query_dense", "_output_dense"), **_MIXTURE},
    ),
    fixed={"hidden_act": "silu", "use_sliding_window": False},
    # The reference windows some layers, KerasHub all; and KerasHub takes every layer for the first one when
    # it decides which mix.
    only={
        "use_sliding_window_attention": (False,),
        "decoder_sparse_step": (1,),
        "mlp_only_layers": ([], None),
    },
    read=_READ,
    more=linear_rope,
    harmless=frozenset({"output_router_logits", "router_aux_loss_coefficient"}),
)


def _windowed(config: Config) -> dict[str, Any]:
    window = config.get("sliding_window_size")
    return {**linear_rope(config), "use_sliding_window": bool(window), "sliding_window": window}


QWEN3_MOE = Architecture(
    "qwen3_moe",
    {**_KEYS, **_DENSE, "head_dim": "head_dim"},
    decoder("qwen3_moe_layer_norm", "qwen3_moe_transformer_decoder", {**attention(), **_MIXTURE}),
    fixed={"hidden_act": "silu"},
    read=_READ,
    more=_windowed,
    harmless=frozenset({"router_aux_loss_coefficient"}),
)
