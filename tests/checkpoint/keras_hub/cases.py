"""Tiny backbones of KerasHub with random weights: the oracle of every architecture that is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

VOCAB = 64
_SIZES = {"vocabulary_size": VOCAB, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
_GROUPED = {**_SIZES, "num_query_heads": 4, "num_key_value_heads": 2}
_LLAMA3_ROPE = {
    "rope_max_wavelength": 500000,
    "rope_frequency_adjustment_factor": 8.0,
    "rope_low_freq_factor": 1.0,
    "rope_high_freq_factor": 4.0,
    "rope_pretraining_sequence_length": 16,
}


@dataclass(frozen=True)
class Case:
    """A backbone: its class of ``keras_hub.models``, and its configuration."""

    name: str
    backbone: str
    config: dict[str, Any] = field(default_factory=dict)


_HEADS = {**_SIZES, "num_heads": 2}
_GEMMA2 = {
    **_GROUPED,
    "head_dim": 8,
    "use_post_ffw_norm": True,
    "use_post_attention_norm": True,
    "use_sliding_window_attention": True,
    "sliding_window_size": 5,
    "final_logit_soft_cap": 3.0,
}
_FALCON = {"vocabulary_size": VOCAB, "num_layers": 2, "hidden_dim": 16, "num_attention_heads": 4}
_MIXTURE = {**_GROUPED, "moe_intermediate_dim": 8, "num_experts": 4, "top_k": 2}
_LONG = [1.0 + 0.3 * index for index in range(2)]

CASES = (
    Case("gpt2", "GPT2Backbone", {**_HEADS, "max_sequence_length": 32}),
    Case("llama", "LlamaBackbone", _GROUPED),
    Case("llama3", "Llama3Backbone", {**_GROUPED, **_LLAMA3_ROPE, "layer_norm_epsilon": 1e-5}),
    Case("llama3-tied", "Llama3Backbone", {**_GROUPED, "tie_word_embeddings": True}),
    Case("mistral", "MistralBackbone", {**_GROUPED, "sliding_window": 5, "rope_scaling_factor": 2.0}),
    Case("mistral-wide-heads", "MistralBackbone", {**_GROUPED, "head_dim": 6, "sliding_window": None}),
    Case("mixtral", "MixtralBackbone", {**_GROUPED, "num_experts": 4, "top_k": 2}),
    Case("phi3", "Phi3Backbone", _GROUPED),
    Case(
        "phi3-su",
        "Phi3Backbone",
        {
            **_GROUPED,
            "max_sequence_length": 64,
            "pretraining_sequence_length": 32,
            "rope_scaling_type": "su",
            "rope_scaling_short_factor": _LONG,
            "rope_scaling_long_factor": _LONG[::-1],
        },
    ),
    Case("qwen", "QwenBackbone", _GROUPED),
    Case(
        "qwen-windows",
        "QwenBackbone",
        {**_GROUPED, "use_sliding_window_attention": True, "sliding_window_size": 5},
    ),
    Case("qwen3", "Qwen3Backbone", {**_GROUPED, "head_dim": 8, "tie_word_embeddings": False}),
    Case("qwen_moe", "QwenMoeBackbone", {**_MIXTURE, "shared_expert_intermediate_dim": 12}),
    Case(
        "qwen3_moe",
        "Qwen3MoeBackbone",
        {**_MIXTURE, "head_dim": 8, "norm_top_k_prob": True, "mlp_only_layers": [0]},
    ),
    Case("gemma", "GemmaBackbone", {**_GROUPED, "head_dim": 8}),
    Case("gemma2", "GemmaBackbone", {**_GEMMA2, "attention_logit_soft_cap": 2.0}),
    Case(
        "gemma3",
        "Gemma3Backbone",
        {**_GEMMA2, "image_size": None, "num_layers": 6, "global_rope_scaling_factor": 8.0},
    ),
    Case("falcon", "FalconBackbone", {**_FALCON, "intermediate_dim": 40}),
    Case("gpt_neo_x", "GPTNeoXBackbone", {**_HEADS, "rotary_percentage": 0.5}),
    Case("opt", "OPTBackbone", {**_HEADS, "max_sequence_length": 32}),
    Case("bloom", "BloomBackbone", {**_HEADS, "intermediate_dim": 64}),
    Case("bart", "BartBackbone", {**_HEADS, "max_sequence_length": 32}),
    Case("t5", "T5Backbone", {**_HEADS, "key_value_dim": 6, "use_gated_activation": False}),
    Case(
        "t5-gated",
        "T5Backbone",
        {**_HEADS, "activation": "gelu_approximate", "tie_embedding_weights": False},
    ),
)


def build(case: Case) -> Any:
    """The backbone, with weights large enough that every part shows."""
    import keras_hub
    from keras_hub.src.utils.keras_utils import gelu_approximate

    config = dict(case.config)
    if config.get("activation") == "gelu_approximate":
        config["activation"] = gelu_approximate
    backbone = getattr(keras_hub.models, case.backbone)(**config)
    rng = np.random.default_rng(0)
    for variable in backbone.weights:
        spread = rng.normal(size=variable.shape).astype(np.float32)
        own = np.asarray(variable)
        # Norm scales and biases are constants at first, which would hide a missing one.
        variable.assign(spread * 0.3 if own.ndim > 1 else own + 0.2 * spread)
    return backbone


def logits(backbone: Any, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """float32 [length, vocab] of one unpadded sequence; an encoder reads it backwards."""
    ids = tokens[None]
    ones = np.ones_like(ids)
    if "encoder_token_ids" not in backbone.input:
        hidden = backbone({"token_ids": ids, "padding_mask": ones})
        return np.asarray(backbone.token_embedding(hidden, reverse=True)[0])
    inputs = {"decoder_token_ids": ids, "encoder_token_ids": ids[:, ::-1]}
    masks = {"decoder_padding_mask": ones, "encoder_padding_mask": ones}
    return np.asarray(_task(backbone)({**inputs, **masks})[0])


def _task(backbone: Any) -> Any:
    import keras_hub

    name = type(backbone).__name__.removesuffix("Backbone")
    return getattr(keras_hub.models, f"{name}Seq2SeqLM")(backbone=backbone, preprocessor=None)
