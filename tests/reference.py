"""Checkpoints made for tests, and what PyTorch transformers says about them: the oracle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

#: A greedy decision may differ from the reference only where its two best logits are this close: XLA's
#: matrix products differ by about 1e-4 of the logits' range between batch sizes.
MARGIN = 2e-3

_TRAINING_TEXT = [
    "the quick brown fox jumps over the lazy dog. " * 3,
    "one, two, three, four, five: 1 2 3 4 5 10 20 300\n\n\tand so on",
    "Ça va? Où est-ce? Grüße aus Köln; naïve façade. it's they're we'll I'd",
]


def byte_level_bpe(vocab_size: int = 320) -> Tokenizer:
    """A GPT-2 style tokenizer, trained on a few lines: all bytes, some merges, <|endoftext|>."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TRAINING_TEXT, trainer)
    return tokenizer


def save_checkpoint(model: Any, directory: Path, tokenizer: Tokenizer | None = None) -> Path:
    """Writes a model in Hugging Face layout, with a tokenizer (default: byte-level BPE)."""
    model.save_pretrained(directory)
    (tokenizer or byte_level_bpe()).save(str(directory / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


def random_gpt2(directory: Path, seed: int = 0, **config: Any) -> Path:
    """A tiny random GPT-2, weights large enough that greedy decoding does not fall into one token."""
    settings = {
        "vocab_size": 320,
        "n_positions": 64,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 0,
        **config,
    }
    torch.manual_seed(seed)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings)).eval()
    for parameter in model.parameters():  # biases and norms start at 0 and 1: make them count
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.2)
    return save_checkpoint(model, directory)


@dataclass(frozen=True)
class Greedy:
    """A reference continuation: its ids (EOS included) and each step's gap between the two best logits."""

    ids: list[int]
    gaps: list[float]


class Reference:
    """PyTorch transformers on one unpadded prompt at a time."""

    def __init__(self, directory: Path) -> None:
        auto = (
            transformers.AutoModelForSeq2SeqLM
            if transformers.AutoConfig.from_pretrained(directory).is_encoder_decoder
            else transformers.AutoModelForCausalLM
        )
        self.model = auto.from_pretrained(directory, dtype=torch.float32).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(directory)

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])

    def greedy(self, ids: Sequence[int], max_new_tokens: int) -> Greedy:
        """``generate(do_sample=False)`` on one prompt."""
        prompt = torch.tensor([list(ids)])
        eos = self.model.generation_config.eos_token_id
        with torch.no_grad():
            answer = self.model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                num_beams=1,
                max_new_tokens=max_new_tokens,
                pad_token_id=eos if isinstance(eos, int) else 0,
                return_dict_in_generate=True,
                output_scores=True,
            )
        best = [torch.topk(scores[0], 2).values for scores in answer.scores]
        return Greedy(
            ids=answer.sequences[0][-len(answer.scores) :].tolist(),
            gaps=[float(pair[0] - pair[1]) for pair in best],
        )


def assert_same_greedy(ours: Sequence[Sequence[int]], references: Sequence[Greedy]) -> int:
    """Sequences equal, up to decisions closer than MARGIN; returns how many rows used that excuse."""
    excused = 0
    for row, (ids, reference) in enumerate(zip(ours, references, strict=True)):
        if list(ids) == reference.ids:
            continue
        pairs = zip(ids, reference.ids, strict=False)
        step = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(reference.ids)))
        gap = reference.gaps[min(step, len(reference.gaps) - 1)]
        assert gap < MARGIN, (
            f"row {row} differs at step {step} (gap {gap:.2g}): {list(ids)}, reference {reference.ids}"
        )
        excused += 1
    return excused
