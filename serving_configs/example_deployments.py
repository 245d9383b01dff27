"""The committed examples: four deployments, rendered as an export would.

``python -m serving_configs.example_deployments`` writes ``serving_configs/examples`` anew.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from exporter.choices import Target
from exporter.manifest import (
    Buckets,
    Manifest,
    MemoryInfo,
    ModelInfo,
    SignatureInfo,
    TensorInfo,
    WarmupInfo,
)
from serving_configs.kubernetes_options import ExportJobOptions, GatewayOptions, KubernetesOptions
from serving_configs.render import render, render_model_files, write
from serving_configs.serving_options import ServingOptions

FOLDER = Path(__file__).parent / "examples"

_TEXT = TensorInfo(dtype="string", shape=(None,))
_COUNT = TensorInfo(dtype="int32", shape=(None,))
_GENERATE = SignatureInfo(
    inputs={"text": _TEXT},
    outputs={"generated_text": _TEXT, "num_tokens": _COUNT, "finish_reason": _TEXT, "error": _TEXT},
)


def _manifest(name: str, version: int, dtype: str, buckets: Buckets, **sizes: Any) -> Manifest:
    return Manifest(
        genserve_version="0.1.0",
        tensorflow_version="2.21.0",
        name=name,
        version=version,
        created="2026-01-01T00:00:00Z",
        model=ModelInfo(
            source=f"/checkpoints/{name}",
            model_type=sizes["model_type"],
            kind="decoder_only",
            parameters=sizes["parameters"],
            vocab_size=sizes["vocab_size"],
            context_length=sizes["context_length"],
            dtype=dtype,
            target=sizes["target"],
        ),
        tokenizer="byte_level_bpe",
        buckets=buckets,
        max_new_tokens=sizes["max_new_tokens"],
        signatures={"serving_default": _GENERATE},
        generation={"max_new_tokens": sizes["max_new_tokens"]},
        options={"row_errors": "answer"},
        memory=MemoryInfo(
            weights_bytes=sizes["weights_bytes"], cache_bytes_per_row=sizes["cache_bytes_per_row"]
        ),
        warmup=WarmupInfo(
            records=len(buckets.prompt_lengths) * len(buckets.batch_sizes), seconds=sizes["warmup_seconds"]
        ),
    )


def _chat(version: int) -> Manifest:
    """A Llama-shaped model of 1.1 billion parameters in bfloat16."""
    return _manifest(
        "chat",
        version,
        "bfloat16",
        Buckets(prompt_lengths=(128, 512, 1024), batch_sizes=(1, 4, 16)),
        model_type="llama",
        parameters=1_100_048_384,
        vocab_size=32_000,
        context_length=2048,
        max_new_tokens=256,
        weights_bytes=2_200_096_768,
        cache_bytes_per_row=1280 * 22 * 2 * 4 * 64 * 2,
        warmup_seconds=140.0,
        target="gpu",
    )


def _stories(version: int, target: Target = "gpu") -> Manifest:
    """The embedded demo model's size, in fp32."""
    return _manifest(
        "stories",
        version,
        "float32",
        Buckets(prompt_lengths=(32, 128), batch_sizes=(1, 4, 8)),
        model_type="gpt2",
        parameters=700_000,
        vocab_size=1024,
        context_length=256,
        max_new_tokens=64,
        weights_bytes=2_800_000,
        cache_bytes_per_row=192 * 4 * 2 * 96 * 4,
        warmup_seconds=9.0,
        target=target,
    )


EXAMPLES: dict[str, tuple[list[Manifest], ServingOptions]] = {
    "one-gpu-one-model": (
        [_chat(1)],
        ServingOptions(gpu_memory_gib=24, latency_goal_seconds=20, batch_seconds=4.0, concurrent_clients=64),
    ),
    "one-gpu-two-models": (
        [_chat(3), _chat(4), _stories(1)],
        ServingOptions(
            gpu_memory_gib=24,
            num_versions=2,
            version_labels={"chat": {"stable": 3, "canary": 4}, "stories": {"stable": 1}},
            poll_seconds=10,
        ),
    ),
    "kubernetes": (
        [_chat(1)],
        ServingOptions(
            gpu_memory_gib=24,
            latency_goal_seconds=20,
            batch_seconds=4.0,
            poll_seconds=10,
            targets=("kubernetes", "kserve"),
            kubernetes=KubernetesOptions(
                namespace="chat",
                claim="models",
                genserve_image="registry.example.com/genserve:0.1.0",
                utilization_percent=80,
                gateway=GatewayOptions(),
                export=ExportJobOptions(
                    job={
                        "models": [
                            {"model": "example/chat-1b", "name": "chat", "prompt_lengths": [128, 1024]}
                        ]
                    },
                    schedule="0 3 * * sun",
                ),
            ),
        ),
    ),
    "cpu-smoke": (
        [_stories(1, "cpu")],
        ServingOptions(latency_goal_seconds=5, intra_op_threads=2, inter_op_threads=2, xla_cache=False),
    ),
}


def example_files(name: str) -> dict[str, str]:
    """File name (relative to an export directory) -> text."""
    manifests, options = EXAMPLES[name]
    files = {f"serving/{path}": text for path, text in render(manifests, options).items()}
    for manifest in manifests:
        for path, text in render_model_files(manifest, options).items():
            files[f"{manifest.name}/{manifest.version}/{path}"] = text
    return files


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name in EXAMPLES:
        write(example_files(name), FOLDER / name)


if __name__ == "__main__":
    main()
