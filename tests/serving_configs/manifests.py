"""Manifests as an export writes them, for the tests of everything that reads them."""

from __future__ import annotations

from typing import Any

from exporter.manifest import (
    Buckets,
    Manifest,
    MemoryInfo,
    ModelInfo,
    SignatureInfo,
    TensorInfo,
    WarmupInfo,
)

TEXT = TensorInfo(dtype="string", shape=(None,))
COUNT = TensorInfo(dtype="int32", shape=(None,))


def manifest(name: str = "stories", version: int = 1, **changes: Any) -> Manifest:
    """A small GPT-2 export; ``changes`` replace fields."""
    fields: dict[str, Any] = {
        "genserve_version": "0.1.0",
        "tensorflow_version": "2.19.1",
        "name": name,
        "version": version,
        "created": "2026-01-02T03:04:05Z",
        "model": ModelInfo(
            source="demo:stories",
            model_type="gpt2",
            kind="decoder_only",
            parameters=1_000_000,
            vocab_size=2048,
            context_length=256,
            dtype="float32",
        ),
        "tokenizer": "byte_level_bpe",
        "buckets": Buckets(prompt_lengths=(32, 128), batch_sizes=(1, 4, 8)),
        "max_new_tokens": 64,
        "signatures": {
            "serving_default": SignatureInfo(
                inputs={"text": TEXT},
                outputs={"generated_text": TEXT, "num_tokens": COUNT, "finish_reason": TEXT, "error": TEXT},
            )
        },
        "generation": {"max_new_tokens": 64},
        "options": {"row_errors": "answer"},
        "memory": MemoryInfo(weights_bytes=4_000_000, cache_bytes_per_row=1_500_000),
        "warmup": WarmupInfo(records=6, seconds=12.5),
    }
    return Manifest(**(fields | changes))
