"""Which architectures of KerasHub are read, by the class of their backbone."""

from __future__ import annotations

from exporter.checkpoint.keras_hub.architecture import Architecture, Config
from exporter.checkpoint.keras_hub.encoder_decoders import BART, T5
from exporter.checkpoint.keras_hub.gemma_kin import GEMMA, GEMMA3
from exporter.checkpoint.keras_hub.gpt_kin import BLOOM, FALCON, GPT2, GPT_NEO_X, OPT
from exporter.checkpoint.keras_hub.llama_kin import LLAMA, MISTRAL, MIXTRAL, PHI3, QWEN2, QWEN3
from exporter.checkpoint.keras_hub.mixtures import QWEN2_MOE, QWEN3_MOE
from exporter.errors import UnsupportedError, did_you_mean

ARCHITECTURES = {
    "BartBackbone": BART,
    "BloomBackbone": BLOOM,
    "FalconBackbone": FALCON,
    "GPT2Backbone": GPT2,
    "GPTNeoXBackbone": GPT_NEO_X,
    "Gemma3Backbone": GEMMA3,
    "GemmaBackbone": GEMMA,
    "Llama3Backbone": LLAMA,
    "LlamaBackbone": LLAMA,
    "MistralBackbone": MISTRAL,
    "MixtralBackbone": MIXTRAL,
    "OPTBackbone": OPT,
    "Phi3Backbone": PHI3,
    "Qwen3MoeBackbone": QWEN3_MOE,
    "QwenMoeBackbone": QWEN2_MOE,
    "Qwen3Backbone": QWEN3,
    "QwenBackbone": QWEN2,
    "T5Backbone": T5,
}


def architecture_of(class_name: str, config: Config) -> Architecture:
    """Raises UnsupportedError for a backbone that is not read."""
    found = ARCHITECTURES.get(class_name)
    if found is None:
        raise UnsupportedError(
            f"a KerasHub preset of class {class_name} cannot be exported"
            f"{did_you_mean(class_name, ARCHITECTURES)}; known are {', '.join(ARCHITECTURES)}"
        )
    return found.instead(config) or found
