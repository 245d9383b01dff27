"""Cases: text models of checkpoints that read images or sound too."""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases_latent import MIXTURE, YARN

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
# One layer that looks at images, as small as can be.
VISION: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}
_SLIDING, _FULL = "sliding_attention", "full_attention"
GEMMA4: dict[str, Any] = {
    **SIZES,
    "head_dim": 8,
    "global_head_dim": 16,
    "num_hidden_layers": 7,
    "layer_types": [_SLIDING, _SLIDING, _FULL, _SLIDING, _SLIDING, _SLIDING, _FULL],
    "num_kv_shared_layers": 4,
    "use_double_wide_mlp": True,
    "sliding_window": 5,
    "hidden_size_per_layer_input": 6,
    "vocab_size_per_layer_input": VOCAB,
    "final_logit_softcapping": 3.0,
}
GEMMA4_MIXED: dict[str, Any] = {
    **SIZES,
    "head_dim": 8,
    "global_head_dim": 16,
    "num_hidden_layers": 3,
    "layer_types": [_SLIDING, _FULL, _FULL],
    "attention_k_eq_v": True,
    "num_global_key_value_heads": 1,
    "sliding_window": 5,
    "hidden_size_per_layer_input": 0,
    "enable_moe_block": True,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 16,
    "use_bidirectional_attention": "vision",
    "tie_word_embeddings": False,
}
# Of the tower of the Qwen families.
TOWER: dict[str, Any] = {
    "depth": 1,
    "embed_dim": 16,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 2,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
}
TORCH = {"torch_dtype": "float32"}
#: Each of these differs from one of the quick tier by data alone.
LATER = {
    "aya_vision",
    "internvl",
    "llava_next",
    "llava_next_video",
    "llava_onevision",
    "qwen2_5_vl",
    "qwen3_vl",
    "smolvlm",
    "vipllava",
}
QWEN = {key: value for key, value in SIZES.items() if key != "pad_token_id"}
MROPE = {"rope_type": "default", "rope_theta": 5000.0, "mrope_section": [2, 1, 1]}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
PLAIN = {"image_token_id": 1, "image_token_index": 1}


def _told(text: dict[str, Any]) -> str:
    own = sorted(text.keys() - SIZES.keys() - {"model_type"})
    return f"text of {text['model_type']}" + (f" ({', '.join(own)})" if 0 < len(own) <= 3 else "")


def joined(
    model_type: str, classes: str, known_as: str, *texts: dict[str, Any], tower: dict[str, Any] = VISION
) -> FamilyCases:
    """A type that joins a tower to another type's model: one case for each text."""
    config = {"vision_config": tower, **PLAIN}
    cases = [
        Case(_told(text), {"text_config": text}, full=index > 0 or model_type in LATER)
        for index, text in enumerate(texts)
    ]
    old = {**TORCH, "text_config": {**texts[0], "torch_dtype": "float32"}}
    return FamilyCases(
        model_type,
        f"{classes}Config",
        f"{classes}ForConditionalGeneration",
        config,
        tuple(cases),
        v4=old,
        v4_removed=("dtype",),
        known_as=known_as,
    )


def qwen(
    model_type: str, classes: str, known_as: str, text: dict[str, Any], more: dict[str, Any], touches: str
) -> FamilyCases:
    """A Qwen that reads images; the second case has its text's switches the other way."""
    text = {**QWEN, "rope_parameters": MROPE, **text}
    scaling = {"type": "mrope", "mrope_section": [2, 1, 1]}
    plain = {key: value for key, value in text.items() if key != "rope_parameters"}
    old = {**plain, "rope_theta": 5000.0, "rope_scaling": scaling, "model_type": f"{model_type}_text"}
    if not model_type.startswith("qwen2"):
        old["rope_scaling"] = {"rope_type": "default", "mrope_section": [2, 1, 1]}
    return FamilyCases(
        model_type,
        f"{classes}Config",
        f"{classes}ForConditionalGeneration",
        {"vision_config": TOWER, "image_token_id": 1, "video_token_id": 2},
        (
            Case(
                "text part of a checkpoint that reads images, three equal positions",
                {"text_config": text},
                full=model_type in LATER,
            ),
            Case(touches, {"text_config": {**text, **more}, "tie_word_embeddings": True}, full=True),
        ),
        v4={**TORCH, "text_config": old},
        v4_removed=("dtype",),
        known_as=known_as,
    )


def of(model_type: str, **changes: Any) -> dict[str, Any]:
    """A text model's config."""
    return {**SIZES, "model_type": model_type, **changes}


GEMMA4_VISION = {**VISION, "num_key_value_heads": 2, "head_dim": 4, "position_embedding_size": 16}

UNIFIED: dict[str, Any] = {
    **SIZES,
    "head_dim": 8,
    "global_head_dim": 16,
    "num_hidden_layers": 3,
    "layer_types": [_SLIDING, _FULL, _FULL],
    "attention_k_eq_v": True,
    "num_global_key_value_heads": 1,
    "sliding_window": 5,
    "rope_parameters": {
        _SLIDING: {"rope_type": "default", "rope_theta": 500.0},
        _FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 5000.0},
    },
}
UNIFIED_OTHER: dict[str, Any] = {
    **UNIFIED,
    "num_hidden_layers": 4,
    "layer_types": [_SLIDING, _FULL, _SLIDING, _FULL],
    "attention_k_eq_v": False,
    "num_kv_shared_layers": 2,
    "attention_bias": True,
    "tie_word_embeddings": False,
}

CASES: tuple[FamilyCases, ...] = (
    FamilyCases(
        "gemma4_text",
        "Gemma4TextConfig",
        "Gemma4ForCausalLM",
        GEMMA4,
        (
            Case("per-layer embeddings, layers that read others' keys and values, soft cap", {}),
            Case(
                "mixtures beside dense blocks, values by the keys' weights, no per-layer embeddings",
                {**GEMMA4_MIXED, "num_kv_shared_layers": 0, "final_logit_softcapping": None},
            ),
        ),
        v4={"torch_dtype": "float32", "global_head_dim": 16},
        v4_removed=("dtype", "per_layer_config"),
        known_as="Gemma 4 (text model)",
    ),
    FamilyCases(
        "gemma4",
        "Gemma4Config",
        "Gemma4ForConditionalGeneration",
        # In place of these tokens the reference reads padding, even without an image.
        {"vision_config": GEMMA4_VISION, "image_token_id": 90, "video_token_id": 91, "audio_token_id": 1},
        (
            Case("text part of a checkpoint that reads images and sound", {"text_config": GEMMA4}),
            Case(
                "mixtures beside dense blocks, values by the keys' weights",
                {"text_config": GEMMA4_MIXED},
                full=True,
            ),
        ),
        v4={"torch_dtype": "float32", "text_config": {**GEMMA4, "model_type": "gemma4_text"}},
        v4_removed=("dtype",),
        known_as="Gemma 4 (E2B, E4B, 26B-A4B, 31B), text only",
    ),
    joined(
        "aya_vision",
        "AyaVision",
        "Aya Vision, text only",
        of("cohere2", sliding_window=5, logit_scale=0.5),
        of("cohere2", layer_types=[_FULL, _SLIDING], sliding_window=4),
    ),
    joined(
        "cohere2_vision",
        "Cohere2Vision",
        "Command A Vision, text only",
        of("cohere2", sliding_window=5),
        of("cohere2", layer_types=[_FULL, _SLIDING], sliding_window=4),
    ),
    joined(
        "idefics3",
        "Idefics3",
        "Idefics3, text only",
        of("llama"),
        of("llama", attention_bias=True, num_key_value_heads=4),
    ),
    joined(
        "internvl",
        "InternVL",
        "InternVL3 and 3.5, text only",
        of("qwen2"),
        of("qwen3", head_dim=8),
        of("llama"),
        of("qwen3_moe", head_dim=8, **MOE),
        of("gpt_oss", head_dim=8, num_local_experts=5, num_experts_per_tok=2, sliding_window=5),
    ),
    joined(
        "llava", "Llava", "LLaVA 1.5, text only", of("llama"), of("mistral", sliding_window=5), of("qwen2")
    ),
    joined("llava_next", "LlavaNext", "LLaVA-NeXT, text only", of("mistral", sliding_window=5), of("llama")),
    joined(
        "mistral3",
        "Mistral3",
        "Mistral Small 3.1 to 4, Ministral 3, text only",
        of("mistral", head_dim=16, sliding_window=None),
        of("ministral3", head_dim=16),
        of(
            "mistral4",
            **MIXTURE,
            rope_parameters={**YARN, "original_max_position_embeddings": 5, "llama_4_scaling_beta": 0.3},
        ),
    ),
    joined(
        "smolvlm",
        "SmolVLM",
        "SmolVLM, text only",
        of("llama"),
        of("llama", attention_bias=True, num_key_value_heads=4),
    ),
    qwen(
        "qwen2_vl",
        "Qwen2VL",
        "Qwen2-VL, text only",
        {},
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
        "tied head, windows",
    ),
    qwen(
        "qwen2_5_vl",
        "Qwen2_5_VL",
        "Qwen2.5-VL, text only",
        {},
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
        "tied head, windows",
    ),
    qwen(
        "qwen3_vl",
        "Qwen3VL",
        "Qwen3-VL, text only",
        {"head_dim": 8},
        {"attention_bias": True, "head_dim": 16},
        "tied head, biases, wide heads",
    ),
    qwen(
        "qwen3_vl_moe",
        "Qwen3VLMoe",
        "Qwen3-VL-30B-A3B, text only",
        {"head_dim": 8, **MOE},
        {"mlp_only_layers": [0], "num_experts_per_tok": 1},
        "tied head, a dense layer, one expert a token",
    ),
    FamilyCases(
        "gemma4_unified_text",
        "Gemma4UnifiedTextConfig",
        "Gemma4UnifiedForCausalLM",
        UNIFIED,
        (
            Case("values by the keys' weights, half of each head turns", {}),
            Case("layers that read others' keys and values, untied head, biases", UNIFIED_OTHER, full=True),
        ),
        v4={**TORCH, "global_head_dim": 16, "num_global_key_value_heads": 1},
        v4_removed=("dtype", "per_layer_config"),
        known_as="Gemma 4 12B (text model)",
    ),
    FamilyCases(
        "gemma4_unified",
        "Gemma4UnifiedConfig",
        "Gemma4UnifiedForConditionalGeneration",
        {"vision_config": None, "audio_config": None, "image_token_id": 90, "video_token_id": 91},
        (
            Case("text part of a checkpoint that reads images and sound", {"text_config": UNIFIED}),
            Case("layers that read others' keys and values", {"text_config": UNIFIED_OTHER}, full=True),
        ),
        v4={**TORCH, "text_config": {**UNIFIED, "model_type": "gemma4_unified_text"}},
        v4_removed=("dtype",),
        known_as="Gemma 4 12B, text only",
    ),
    joined(
        "lfm2_vl",
        "Lfm2Vl",
        "LFM2-VL, text only",
        of("lfm2", layer_types=["conv", _FULL], block_multiple_of=8),
        of("lfm2", layer_types=[_FULL, "conv"], conv_bias=True, block_multiple_of=8),
    ),
    joined(
        "llava_next_video",
        "LlavaNextVideo",
        "LLaVA-NeXT-Video, text only",
        of("llama"),
        of("mistral", sliding_window=5),
    ),
    joined("llava_onevision", "LlavaOnevision", "LLaVA-OneVision, text only", of("qwen2"), of("llama")),
    joined(
        "vipllava",
        "VipLlava",
        "VipLLaVA, text only",
        of("llama"),
        of("mistral", sliding_window=5),
        tower={**VISION, "num_hidden_layers": 12},
    ),
)
