"""The checkpoints that the package ships, named ``demo:NAME`` wherever a checkpoint is asked for.

Hugging Face layout; made by ``scripts/make_demo_checkpoints.py``, each with a model card beside it.
"""

from __future__ import annotations

from pathlib import Path

from exporter.errors import CheckpointError, did_you_mean

PREFIX = "demo:"

DEMOS = {
    "stories": "GPT-2 architecture, byte-level BPE: small stories, counting, questions with answers",
    "translate": "T5 architecture, SentencePiece unigram: numbers to words and back, in three languages",
}


def demo_path(name: str) -> Path:
    """The directory of a demo checkpoint.

    Args:
      name: a key of ``DEMOS``, with or without the ``demo:`` before it.

    Raises:
      CheckpointError: there is no such demo.
    """
    key = name.removeprefix(PREFIX)
    if key not in DEMOS:
        allowed = ", ".join(PREFIX + demo for demo in DEMOS)
        raise CheckpointError(
            f"{PREFIX}{key}: no such demo checkpoint{did_you_mean(key, DEMOS)}; there are {allowed}"
        )
    return Path(__file__).resolve().parent / key
