"""What both demo models share: the training loop, and the files beside the weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from rich.progress import Progress

WARMUP_STEPS = 100
REPORT_EVERY = 100


def train(
    model: torch.nn.Module, loss_of_step: Callable[[int], torch.Tensor], *, steps: int, learning_rate: float
) -> float:
    """AdamW with warmup and a cosine to zero; returns the seconds it took."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    started = time.monotonic()
    model.train()
    with Progress() as progress:
        task = progress.add_task("training", total=steps)
        for step in range(steps):
            loss = loss_of_step(step)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.update(task, advance=1)
            if step % REPORT_EVERY == 0:
                progress.console.print(f"step {step}: loss {loss.item():.4f}", highlight=False)
    model.eval()
    return time.monotonic() - started


def _rate(step: int, steps: int) -> float:
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return warmup * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def save(model: Any, directory: Path, tokenizer_config: dict[str, Any], facts: dict[str, Any]) -> None:
    """Writes weights, config and generation_config (the model's own), tokenizer_config and training.json.

    tokenizer_config.json is written by hand so that transformers 4 and 5 both read it.
    """
    model.save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    write_json(directory / "tokenizer_config.json", tokenizer_config)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    run = {"threads": torch.get_num_threads(), "versions": versions()}
    write_json(directory / "training.json", {"parameters": parameters, **facts, **run})
    total = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{directory}: {parameters:,} parameters, {total / 1e6:.2f} MB in all")


def versions() -> dict[str, str]:
    """The libraries that a repetition must share to come out the same."""
    return {module.__name__: module.__version__ for module in (torch, transformers, tokenizers)}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes readable JSON with a final newline."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
