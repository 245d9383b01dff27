"""Random-weight checkpoints in Hugging Face layout, the same for every peer. Needs PyTorch.

No end-of-sequence token: every row runs to the number of tokens that was asked for. The tokenizers are
made up: peers that want one only use it to turn ids into pieces and back.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

from scripts.benchmarks.cases import Shape

SEED = 0


def make_checkpoint(shape: Shape, directory: Path) -> Path:
    """Writes the checkpoint unless it is there; returns its directory, of a published one the one it lies in.

    Raises:
      FileNotFoundError: a published model is not where ``GENSERVE_REAL_MODELS`` says.
    """
    if shape.kind == "published":
        published = Path(os.environ.get("GENSERVE_REAL_MODELS", "~/.cache/genserve/models")).expanduser()
        if not (published / directory.name / "config.json").exists():
            raise FileNotFoundError(
                f"{published / directory.name}: scripts/real_models.py {published} makes it"
            )
        return published / directory.name
    if (directory / "config.json").exists():
        return directory
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, T5Config, T5ForConditionalGeneration

    torch.manual_seed(SEED)
    ends: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None}
    if shape.kind == "t5":
        starts = {"pad_token_id": 0, "decoder_start_token_id": 0}
        model = T5ForConditionalGeneration(T5Config(**ends, **starts, **shape.config))
        tokenizer = _unigram(model.config.vocab_size)
        names = {"tokenizer_class": "T5Tokenizer", "pad_token": "<pad>", "eos_token": "</s>", "extra_ids": 0}
    else:
        config = AutoConfig.for_model(shape.kind, **ends, **shape.config)
        model = AutoModelForCausalLM.from_config(config)
        if shape.position_scale != 1.0:
            model.transformer.wpe.weight.data *= shape.position_scale
        tokenizer = _byte_level_bpe(model.config.vocab_size)
        names = {"tokenizer_class": "GPT2Tokenizer", "unk_token": "<|endoftext|>"}
    staging = directory.with_name(directory.name + ".part")
    model.save_pretrained(staging)
    tokenizer.save(str(staging / "tokenizer.json"))
    (staging / "tokenizer_config.json").write_text(json.dumps(names, indent=2))
    staging.rename(directory)
    return directory


def _byte_level_bpe(vocab_size: int) -> Any:
    """Bytes, then pairs of bytes until the vocabulary is full, then <|endoftext|>."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = ((left, right) for left in alphabet for right in alphabet)
    merges = list(itertools.islice(pairs, vocab_size - len(alphabet) - 1))
    pieces = [*alphabet, *(left + right for left, right in merges), "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def _unigram(vocab_size: int) -> Any:
    """T5's special pieces, then made-up words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=4)
    pieces = ["<pad>", "</s>", "<unk>", *("▁" + "".join(word) for word in words)][:vocab_size]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer
