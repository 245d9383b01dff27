"""Types that join an encoder of sound to text models of other types, as data (see ``wrapped``)."""

from __future__ import annotations

from dataclasses import replace

from exporter.families.granite import GRANITE
from exporter.families.llama import LLAMA
from exporter.families.qwen import QWEN2, QWEN3
from exporter.families.wrapped import Ties, Wrapped

_SOUND = ("audio_config", "audio_token_id")

_FLAMINGO = Wrapped(
    "audioflamingo3",
    {"qwen2": QWEN2},
    keys=(*_SOUND, "projector_bias", "projector_hidden_act"),
    ties=Ties.NEVER,
)
AUDIOFLAMINGO3 = _FLAMINGO.family()
#: What its config says of positions is about sound.
MUSICFLAMINGO = replace(
    _FLAMINGO,
    model_type="musicflamingo",
    keys=(
        *_FLAMINGO.keys,
        "audio_frame_step",
        "head_dim",
        "max_position_embeddings",
        "partial_rotary_factor",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
    ),
).family()
FUN_ASR_NANO = Wrapped(
    "fun_asr_nano",
    {"qwen3": QWEN3},
    keys=(*_SOUND, "adaptor_config"),
    default={
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "max_position_embeddings": 40960,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
    },
    renames=(),
).family()
GLMASR = Wrapped(
    "glmasr",
    {"llama": LLAMA},
    keys=(*_SOUND, "projector_hidden_act"),
    default={
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "max_position_embeddings": 8192,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "vocab_size": 59264,
    },
    completed=True,
).family()
#: Its adapter counts where there is sound alone; in the place of sound's tokens the first one is read.
_GRANITE = Wrapped(
    "granite_speech",
    {"granite": GRANITE},
    keys=("downsample_rate", "encoder_config", "has_lora_adapter", "projector_config", "window_size"),
    placeholders={"audio_token_id": 49155},
    plain_token=0,
    aliases={"audio_token_index": "audio_token_id"},
)
GRANITE_SPEECH = _GRANITE.family()
GRANITE_SPEECH_PLUS = replace(_GRANITE, model_type="granite_speech_plus").family()
MOSS_TRANSCRIBE_DIARIZE = Wrapped(
    "moss_transcribe_diarize",
    {"qwen3": QWEN3},
    keys=(*_SOUND, "audio_merge_size", "projector_bias", "projector_hidden_act"),
    default={
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "max_position_embeddings": 131072,
        "model_type": "qwen3",
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
        "rope_theta": 1_000_000.0,
    },
    renames=(),
).family()
OMNIASR = Wrapped(
    "omniasr",
    {"llama": LLAMA},
    keys=_SOUND,
    default={
        "hidden_size": 4096,
        "intermediate_size": 2816,
        "max_position_embeddings": 8192,
        "num_attention_heads": 8,
        "num_hidden_layers": 12,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05,
        "vocab_size": 11984,
    },
    ties=Ties.NEVER,
    renames=(),
).family()
QWEN2_AUDIO = Wrapped("qwen2_audio", {"qwen2": QWEN2}, keys=_SOUND, ties=Ties.NEVER).family()
QWEN3_ASR = Wrapped(
    "qwen3_asr",
    {"qwen3": QWEN3},
    keys=_SOUND,
    default={
        "head_dim": 128,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "max_position_embeddings": 65536,
        "model_type": "qwen3",
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
    },
    renames=(),
).family()
VIBEVOICE_ASR = Wrapped(
    "vibevoice_asr",
    {"qwen2": QWEN2},
    keys=(
        "acoustic_tokenizer_chunk_size",
        "acoustic_tokenizer_encoder_config",
        "audio_token_id",
        "semantic_tokenizer_encoder_config",
    ),
    ties=Ties.NEVER,
).family()
VOXTRAL = Wrapped(
    "voxtral",
    {"llama": LLAMA},
    keys=(*_SOUND, "hidden_size", "projector_hidden_act"),
    default={
        "head_dim": 128,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "num_hidden_layers": 30,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05,
        "rope_theta": 100_000_000.0,
        "vocab_size": 131072,
    },
    completed=True,
    ties=Ties.NEVER,
).family()
