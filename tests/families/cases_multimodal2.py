"""More cases: text models of checkpoints that read images, videos or sound too, and a mixture of heads."""

from __future__ import annotations

from typing import Any

from tests.families.case import VOCAB, Case, FamilyCases
from tests.families.cases_latent import GROUPS, MIXTURE, YARN
from tests.families.cases_multi import MOE as MIXED
from tests.families.cases_multi import MROPE, QWEN, SIZES, TORCH, TOWER, VISION, of

CLIP: dict[str, Any] = {"model_type": "clip_vision_model", **VISION}
SIGLIP: dict[str, Any] = {"model_type": "siglip_vision_model", **VISION}
SAM: dict[str, Any] = {
    **VISION,
    "num_hidden_layers": 2,
    "output_channels": 8,
    "global_attn_indexes": [0],
    "mlp_dim": 8,
    "window_size": 2,
}
# Encoders of sound in the words of Whisper's config and of Qwen's.
WHISPER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_mel_bins": 8,
    "max_source_positions": 8,
}
SOUND: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "num_mel_bins": 8,
    "max_source_positions": 8,
    "n_window": 2,
    "output_dim": 32,
}
QFORMER: dict[str, Any] = {
    "model_type": "blip_2_qformer",
    "hidden_size": 16,
    "encoder_hidden_size": 16,
    "intermediate_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
}
# Multipliers of Granite that are none of its defaults.
FACTORS: dict[str, Any] = {
    "attention_multiplier": 0.3,
    "embedding_multiplier": 6.0,
    "logits_scaling": 3.0,
    "residual_multiplier": 0.4,
}
HEADS = {"head_dim": 8}
LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}
GLM: dict[str, Any] = {
    **QWEN,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5000.0,
        "partial_rotary_factor": 0.5,
        "mrope_section": [1, 1, 0],
    },
}
GLM_MOE: dict[str, Any] = {
    **GLM,
    **HEADS,
    "moe_intermediate_size": 16,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
}
OLD_MROPE: dict[str, Any] = {
    "rope_theta": 5000.0,
    "rope_scaling": {"type": "default", "mrope_section": [2, 1, 1]},
}
#: Each of these differs from one of the quick tier by data alone.
LATER = {
    "apertus1p5",
    "aria",
    "audioflamingo3",
    "cohere_compass",
    "cosmos3_edge",
    "cosmos3_omni",
    "deepseek_ocr2",
    "deepseek_vl",
    "deepseek_vl_hybrid",
    "exaone4_5",
    "fast_vlm",
    "fun_asr_nano",
    "fuyu",
    "glm46v",
    "glm_ocr",
    "glmasr",
    "glmga",
    "got_ocr2",
    "granite4_vision",
    "granite_docling",
    "granite_speech_plus",
    "hunyuan_vl",
    "hyperclovax_vision_v2",
    "idefics2",
    "janus",
    "lfm3_vl",
    "lighton_ocr",
    "minicpm_ocr",
    "minicpmv4_6",
    "minicpmv4_7",
    "moss_transcribe_diarize",
    "musicflamingo",
    "nemotron_h_omni",
    "omniasr",
    "ovis2",
    "perception_lm",
    "pp_chart2table",
    "qianfan_ocr",
    "qwen2_5_omni_thinker",
    "qwen2_audio",
    "qwen3_asr",
    "qwen3_omni_moe_thinker",
    "vibevoice_asr",
    "video_llama_3",
    "video_llava",
}


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The config without some keys."""
    return {key: value for key, value in config.items() if key not in keys}


def whole(
    model_type: str,
    classes: str,
    known_as: str,
    outer: dict[str, Any],
    first: tuple[str, dict[str, Any]],
    second: tuple[str, dict[str, Any]],
    *,
    old: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
) -> FamilyCases:
    """A type that joins towers to a text model: what both cases touch, with their text_config.

    ``old`` replaces the first one in a config.json of version 4; ``more`` are outer keys of the second case.
    """
    (touches, text), (others, other) = first, second
    later = model_type in LATER
    return FamilyCases(
        model_type,
        f"{classes}Config",
        f"{classes}ForConditionalGeneration",
        outer,
        (
            Case(touches, {"text_config": text}, full=later),
            Case(others, {"text_config": other, **(more or {})}, full=True),
        ),
        v4={**TORCH, "text_config": {**(old or text), "torch_dtype": "float32"}},
        v4_removed=("dtype",),
        known_as=known_as,
    )


LLAMAS = (
    ("text of llama", of("llama")),
    ("text of llama (biases, multi-head)", of("llama", attention_bias=True, num_key_value_heads=4)),
)
QWENS = (
    ("text of qwen2", of("qwen2")),
    (
        "text of qwen2 (windows)",
        of("qwen2", use_sliding_window=True, sliding_window=5, max_window_layers=1),
    ),
)
THIRD = (
    ("text of qwen3", of("qwen3", **HEADS)),
    ("text of qwen3 (biases, wide heads)", of("qwen3", head_dim=16, attention_bias=True)),
)
UNTIED, TIED = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}

IMAGES: tuple[FamilyCases, ...] = (
    whole(
        "aria",
        "Aria",
        "Aria, text only",
        {"vision_config": VISION, "projector_patch_to_query_dict": {"4": 2}},
        ("text of aria_text (shared experts)", of("aria_text", moe_num_experts=4)),
        (
            "text of aria_text (one expert a token, biases), tied head",
            of("aria_text", moe_num_experts=4, moe_topk=1, moe_num_shared_experts=1, attention_bias=True),
        ),
        more=TIED,
    ),
    whole("deepseek_vl", "DeepseekVL", "DeepSeek-VL 1.3B, text only", {"vision_config": SIGLIP}, *LLAMAS),
    whole(
        "deepseek_vl_hybrid",
        "DeepseekVLHybrid",
        "DeepSeek-VL 7B, text only",
        {"vision_config": SIGLIP, "high_res_vision_config": {"model_type": "sam_vision_model", **SAM}},
        *LLAMAS,
        more=UNTIED,
    ),
    whole(
        "exaone4_5",
        "Exaone4_5_",
        "EXAONE 4.5, text only",
        {"vision_config": {**TOWER, "num_key_value_heads": 2}},
        ("text of exaone4 (windows)", of("exaone4", sliding_window=5, sliding_window_pattern=2)),
        (
            "text of exaone4 (full attention), tied head",
            of("exaone4", sliding_window=None, layer_types=["full_attention"] * 2),
        ),
        old={**of("exaone4", sliding_window=5, sliding_window_pattern=2), "model_type": "exaone4_5_text"},
        more=TIED,
    ),
    whole("fast_vlm", "FastVlm", "FastVLM, text only", {"vision_config": CLIP}, *QWENS),
    whole(
        "got_ocr2",
        "GotOcr2",
        "GOT-OCR2, text only",
        {"vision_config": {**SAM, "num_hidden_layers": 1}},
        ("text of qwen2 (multi-head)", of("qwen2", num_key_value_heads=4)),
        QWENS[1],
        more=UNTIED,
    ),
    whole(
        "granite4_vision",
        "Granite4Vision",
        "Granite 4 Vision, text only",
        {
            "vision_config": {**CLIP, "hidden_size": 64},
            "downsample_rate": "1/2",
            "deepstack_layer_map": [[0, 0]],
            "qformer_config": QFORMER,
        },
        ("all multipliers of Granite", of("granite4_vision_text", **FACTORS)),
        ("biases, tied head", of("granite4_vision_text", attention_bias=True, mlp_bias=True)),
        more=TIED,
    ),
    whole(
        "granite_docling",
        "GraniteDocling",
        "Granite Docling 500M and 2B, text only",
        {
            "vision_config": {
                **VISION,
                "out_hidden_size": 32,
                "scale_factor": 2,
                "deepstack_visual_indexes": [0],
                "use_fine_route": False,
            }
        },
        ("multipliers of Granite by default, tied head", of("granite_docling_text")),
        ("other multipliers, biases", of("granite_docling_text", **FACTORS, attention_bias=True)),
        more=UNTIED,
    ),
    whole(
        "idefics2",
        "Idefics2",
        "Idefics2, text only",
        {
            "vision_config": VISION,
            "perceiver_config": {
                "hidden_size": 32,
                "resampler_n_latents": 2,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 4,
                "num_key_value_heads": 2,
            },
        },
        ("text of mistral (windows)", of("mistral", sliding_window=5)),
        ("text of mistral (no windows), tied head", of("mistral", sliding_window=None, **HEADS)),
        more=TIED,
    ),
    whole(
        "janus",
        "Janus",
        "Janus, Janus-Pro, text only",
        {
            "vision_config": {**VISION, "mlp_ratio": 1.0, "projection_dim": 32, "num_image_tokens": 4},
            "vq_config": {
                "embed_dim": 8,
                "num_embeddings": 8,
                "latent_channels": 32,
                "base_channels": 32,
                "channel_multiplier": [1],
                "num_res_blocks": 1,
                "projection_dim": 32,
                "image_token_embed_dim": 32,
            },
        },
        *LLAMAS,
        more=UNTIED,
    ),
    whole(
        "kimi_k25",
        "Kimi_K25",
        "Kimi K2.5 and K2.6, text only",
        {
            "vision_config": {
                **VISION,
                "hidden_size": 16,
                "pos_emb_height": 2,
                "pos_emb_width": 2,
                "pos_emb_time": 1,
            },
            "projection_hidden_size": 8,
            # In place of these tokens the reference reads the first one, even without an image.
            "image_token_id": 90,
            "video_token_id": 84,
        },
        (
            "text of deepseek_v3 (groups of experts, yarn), tied head",
            {"model_type": "deepseek_v3", **MIXTURE, **GROUPS, "rope_parameters": YARN},
        ),
        (
            "text of deepseek_v3 (no groups, all mixed, biases)",
            {
                "model_type": "deepseek_v3",
                **MIXTURE,
                "n_group": 1,
                "topk_group": 1,
                "first_k_dense_replace": 0,
                "attention_bias": True,
            },
        ),
        old={
            "model_type": "kimi_k2",
            **MIXTURE,
            **GROUPS,
            "rope_theta": 1000.0,
            "rope_scaling": {**without(YARN, "rope_type", "rope_theta"), "type": "yarn"},
        },
        more=UNTIED,
    ),
    whole(
        "lighton_ocr",
        "LightOnOcr",
        "LightOnOCR, text only",
        {"vision_config": {"model_type": "pixtral", **VISION, "head_dim": 4}},
        *THIRD,
        more=UNTIED,
    ),
    whole(
        "ovis2",
        "Ovis2",
        "Ovis2, text only",
        {
            "vision_config": {**VISION, "vocab_size": 16},
            "hidden_size": 32,
            "vocab_size": VOCAB,
            "image_token_id": 1,
            "visual_indicator_token_ids": [2, 3, 4, 5, 6],
        },
        *QWENS,
        more=UNTIED,
    ),
    whole(
        "perception_lm",
        "PerceptionLM",
        "Perception LM, text only",
        {"vision_config": {**CLIP, "model_args": {"embed_dim": 8}}},
        ("text of llama, untied as it says", of("llama")),
        ("text of llama (biases), tied as it says", of("llama", attention_bias=True, **TIED)),
    ),
    whole(
        "video_llama_3",
        "VideoLlama3",
        "VideoLLaMA 3, text only",
        {"vision_config": {**VISION, "hidden_size": 16}},
        ("text of qwen2, tied as it says", of("qwen2", **TIED)),
        QWENS[1],
    ),
    whole("video_llava", "VideoLlava", "Video-LLaVA, text only", {"vision_config": CLIP}, *LLAMAS),
)
COMPASS: dict[str, Any] = {
    **without(SIZES, "head_dim"),
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": 5,
    "rope_parameters": {"sliding_attention": MROPE, "full_attention": None},
    "logit_scale": 0.5,
}
OTHER_COMPASS: dict[str, Any] = {
    **COMPASS,
    "attention_bias": True,
    "layer_types": ["full_attention", "full_attention"],
    "rope_parameters": {"full_attention": {**MROPE, "rope_type": "linear", "factor": 2.0}},
    "logit_scale": None,
}
COMPASSES = (
    FamilyCases(
        "cohere_compass_text",
        "CohereCompassTextConfig",
        "CohereCompassForCausalLM",
        {},
        (
            Case("parallel branches, windows, layers without positions, tied head", COMPASS),
            Case("full attention, rope linear, biases, untied head", {**OTHER_COMPASS, **UNTIED}, full=True),
        ),
        v4={**TORCH, "rope_parameters": {**COMPASS["rope_parameters"], "rope_theta": 1.0}},
        v4_removed=("dtype",),
        known_as="Cohere Compass (text model)",
    ),
    whole(
        "cohere_compass",
        "CohereCompass",
        "North Micro Vision, text only",
        {"vision_config": {**TOWER, "deepstack_visual_indexes": [0]}},
        ("text part of a checkpoint that reads images", COMPASS),
        ("full attention, rope linear, biases, tied head", OTHER_COMPASS),
        old={**COMPASS, "model_type": "cohere_compass_text"},
        more=TIED,
    ),
)
PADDLE: dict[str, Any] = {**QWEN, **HEADS, "rope_parameters": MROPE}
AXES: tuple[FamilyCases, ...] = (
    whole(
        "glm4v",
        "Glm4v",
        "GLM-4.1V-Thinking, text only",
        {"vision_config": {**VISION, **TOWER}},
        ("norms behind the branches, half of each head turns, three equal positions", GLM),
        ("whole heads turn, tied as the text says", {**GLM, "rope_parameters": MROPE, **TIED}),
        old={
            **without(GLM, "rope_parameters"),
            "rope_theta": 5000.0,
            "partial_rotary_factor": 0.5,
            "rope_scaling": {"type": "default", "mrope_section": [1, 1, 0]},
            "model_type": "glm4v_text",
        },
    ),
    whole(
        "glm4v_moe",
        "Glm4vMoe",
        "GLM-4.5V, text only",
        {"vision_config": {**VISION, **TOWER}},
        ("experts, a dense layer, biases, half of each head turns, three equal positions", GLM_MOE),
        (
            "groups of experts, no biases, tied head",
            {**GLM_MOE, "n_group": 3, "topk_group": 2, "attention_bias": False, "norm_topk_prob": False},
        ),
        old={
            **without(GLM_MOE, "rope_parameters"),
            "rope_theta": 5000.0,
            "rope_scaling": {"type": "default", "mrope_section": [1, 1, 0]},
            "model_type": "glm4v_moe_text",
        },
        more=TIED,
    ),
    whole(
        "glm46v",
        "Glm46V",
        "GLM-4.6V, GLM-4.6V-Flash, text only",
        {"vision_config": {"model_type": "glm4v_vision", **VISION, **TOWER}},
        ("text of glm4v_text", {"model_type": "glm4v_text", **GLM}),
        ("text of glm4v_moe_text, tied head", {"model_type": "glm4v_moe_text", **GLM_MOE}),
        more=TIED,
    ),
    whole(
        "glm_ocr",
        "GlmOcr",
        "GLM-OCR, text only",
        {"vision_config": {**VISION, **TOWER}},
        ("norms behind the branches, no biases, three equal positions", {**GLM, "rope_parameters": MROPE}),
        (
            "wide heads of which half turns",
            {**GLM, "head_dim": 16, "rope_parameters": {**MROPE, "partial_rotary_factor": 0.5}},
        ),
        old={**QWEN, **OLD_MROPE, "model_type": "glm_ocr_text"},
    ),
    FamilyCases(
        "paddleocr_vl",
        "PaddleOCRVLConfig",
        "PaddleOCRVLForConditionalGeneration",
        {"vision_config": {**VISION, "hidden_size": 16}},
        (
            Case("ERNIE 4.5 by halves, three equal positions, tied head", {"text_config": PADDLE}),
            Case(
                "biases, wide heads, untied head",
                {
                    "text_config": {
                        **PADDLE,
                        "head_dim": 16,
                        "use_bias": True,
                        "rope_parameters": {**MROPE, "mrope_section": [4, 2, 2]},
                        **UNTIED,
                    },
                    **UNTIED,
                },
                full=True,
            ),
        ),
        # As it is published: the text's keys stand in the outer config.
        v4={**TORCH, **without(PADDLE, "rope_parameters"), **OLD_MROPE},
        v4_removed=("dtype", "text_config"),
        known_as="PaddleOCR-VL, text only",
    ),
    whole(
        "qwen2_5_omni_thinker",
        "Qwen2_5OmniThinker",
        "Qwen2.5-Omni's thinker, text only",
        {
            "vision_config": {**TOWER, "fullatt_block_indexes": [0]},
            "audio_config": SOUND,
            "vision_start_token_id": 2,
        },
        ("biases, three equal positions", {**QWEN, "rope_parameters": MROPE}),
        (
            "windows, tied head",
            {
                **QWEN,
                "rope_parameters": MROPE,
                "use_sliding_window": True,
                "sliding_window": 5,
                "max_window_layers": 1,
            },
        ),
        old={**QWEN, **OLD_MROPE, "model_type": "qwen2_5_omni_text"},
        more=TIED,
    ),
    whole(
        "qwen3_omni_moe_thinker",
        "Qwen3OmniMoeThinker",
        "Qwen3-Omni's thinker, text only",
        {
            "vision_config": {**TOWER, "deepstack_visual_indexes": [0]},
            "audio_config": {**SOUND, "n_window_infer": 4, "downsample_hidden_size": 8},
            "vision_start_token_id": 2,
        },
        ("query and key norms, experts, three equal positions", {**QWEN, **MIXED, "rope_parameters": MROPE}),
        (
            "biases, wide heads, a dense layer, unnormalised weights, tied head",
            {
                **QWEN,
                **MIXED,
                "head_dim": 16,
                "attention_bias": True,
                "mlp_only_layers": [0],
                "norm_topk_prob": False,
                "rope_parameters": {**MROPE, "mrope_section": [4, 2, 2]},
            },
        ),
        old={**QWEN, **MIXED, **OLD_MROPE, "model_type": "qwen3_omni_moe_text"},
        more=TIED,
    ),
)
SPEECH: tuple[FamilyCases, ...] = (
    whole(
        "granite_speech",
        "GraniteSpeech",
        "Granite Speech 3.3, text only",
        {
            "encoder_config": {
                "input_dim": 8,
                "num_layers": 1,
                "hidden_dim": 16,
                "num_heads": 2,
                "output_dim": 4,
                "context_size": 4,
                "max_pos_emb": 8,
                "conv_kernel_size": 3,
            },
            "projector_config": QFORMER,
            "has_lora_adapter": False,
            # In place of this token the reference reads the first one, even without sound.
            "audio_token_index": 90,
        },
        ("text of granite (its factor of logits does not count), tied head", of("granite", **FACTORS)),
        ("text of granite (biases)", of("granite", attention_bias=True, mlp_bias=True)),
        more=UNTIED,
    ),
    whole(
        "moss_transcribe_diarize",
        "MossTranscribeDiarize",
        "MOSS-Transcribe-Diarize, text only",
        {"audio_config": WHISPER},
        *THIRD,
        more=UNTIED,
    ),
    whole("qwen2_audio", "Qwen2Audio", "Qwen2-Audio, text only", {"audio_config": SOUND}, *QWENS),
    whole(
        "qwen3_asr",
        "Qwen3ASR",
        "Qwen3-ASR, text only",
        {"audio_config": {**SOUND, "n_window_infer": 4, "downsample_hidden_size": 8}},
        *THIRD,
        more=UNTIED,
    ),
    whole(
        "voxtral",
        "Voxtral",
        "Voxtral, text only",
        {"audio_config": WHISPER},
        ("text of llama, what it lacks by Voxtral's defaults", of("llama", **HEADS)),
        (
            "text of llama (biases, other positions)",
            of("llama", head_dim=16, attention_bias=True, rope_parameters=LINEAR),
        ),
    ),
)
PHI4 = FamilyCases(
    "phi4_multimodal",
    "Phi4MultimodalConfig",
    "Phi4MultimodalForCausalLM",
    {
        **SIZES,
        "original_max_position_embeddings": 32,
        "vision_config": {**VISION, "crop_size": 8, "num_hidden_layers": 2, "image_token_id": 90},
        "audio_config": {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_blocks": 1,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 16,
            "depthwise_separable_out_channel": 16,
            "nemo_conv_channels": 16,
            "input_size": 8,
            "bias_max_distance": 8,
            "audio_token_id": 91,
        },
        "eos_token_id": [1],
        "bos_token_id": 1,
    },
    (
        Case("fused projections, a window", {"sliding_window": 5}, full=True),
        Case(
            "longrope, three quarters of each head turn, tied head",
            {
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 5000.0,
                    "partial_rotary_factor": 0.75,
                    "short_factor": [1.0, 1.5, 2.0],
                    "long_factor": [1.0, 3.0, 4.0],
                },
                **TIED,
            },
            full=True,
        ),
    ),
    v4={**TORCH, "rope_theta": 10000.0, "rope_scaling": None},
    v4_removed=("dtype", "rope_parameters"),
    known_as="Phi-4-multimodal, text only",
)
JETMOE = FamilyCases(
    "jetmoe",
    "JetMoeConfig",
    "JetMoeForCausalLM",
    {
        **without(SIZES, "num_attention_heads"),
        "kv_channels": 8,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
    (
        Case("mixtures of heads and of blocks, tied head", {"rms_norm_eps": 1e-3}),
        Case(
            "one key head, three experts a token, rope linear, untied head",
            {
                "num_key_value_heads": 1,
                "num_local_experts": 6,
                "num_experts_per_tok": 3,
                "activation_function": "gelu",
                "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0},
                **UNTIED,
            },
            full=True,
        ),
    ),
    v4={**TORCH, "rope_theta": 10000.0},
    v4_removed=("dtype", "rope_parameters"),
    known_as="JetMoE",
)

SARVAM = FamilyCases(
    "sarvam_moe",
    "SarvamMoEConfig",
    "Glm4MoeForCausalLM",
    {
        **SIZES,
        **HEADS,
        "moe_intermediate_size": 16,
        "n_routed_experts": 6,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
    },
    (
        Case("query and key norms, whole heads turn, experts, a dense layer", {}),
        Case(
            "groups of experts, all mixed, biases, no norms, half of each head turns",
            {
                "n_group": 3,
                "topk_group": 2,
                "first_k_dense_replace": 0,
                "attention_bias": True,
                "use_qk_norm": False,
                "partial_rotary_factor": 0.5,
            },
            full=True,
        ),
    ),
    v4={**TORCH, "rope_theta": 8_000_000.0, "num_experts": 6, "num_shared_experts": 1, "use_qkv_bias": False},
    v4_removed=("dtype", "rope_parameters", "n_routed_experts", "n_shared_experts", "attention_bias"),
    known_as="Sarvam 30B",
)

LFM: dict[str, Any] = {
    **SIZES,
    **HEADS,
    "num_hidden_layers": 4,
    "layer_types": ["conv", "sliding_attention", "full_attention", "conv"],
    "sliding_window": 5,
}
OTHER_LFM: dict[str, Any] = {
    **LFM,
    "layer_types": ["full_attention", "conv", "conv", "full_attention"],
    "conv_L_cache": 3,
    "conv_bias": True,
    "attention_bias": True,
    "use_attention_gate": False,
    "use_sandwich_norm": False,
    "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 500.0}},
}
LFM3 = (
    FamilyCases(
        "lfm3",
        "Lfm3Config",
        "Lfm3ForCausalLM",
        {},
        (
            Case("short convolutions, windows, a gate for each head, norms behind the branches", LFM),
            Case(
                "no windows, gates or norms behind, biases, untied head", {**OTHER_LFM, **UNTIED}, full=True
            ),
        ),
        v4={**TORCH, "rms_norm_eps": 1e-5},
        v4_removed=("dtype", "rope_parameters", "norm_eps"),
        known_as="LFM3",
    ),
    whole(
        "lfm3_vl",
        "Lfm3Vl",
        "LFM3-VL, text only",
        {"vision_config": {**VISION, "hidden_size": 16, "num_key_value_heads": 2, "layer_types": ["conv"]}},
        ("text of lfm3", {"model_type": "lfm3", **LFM}),
        ("text of lfm3 (no windows, gates or norms behind)", {"model_type": "lfm3", **OTHER_LFM}),
        more=UNTIED,
    ),
)

CASES: tuple[FamilyCases, ...] = (*IMAGES, *COMPASSES, *AXES, *SPEECH, *LFM3, PHI4, JETMOE, SARVAM)
