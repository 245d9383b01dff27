"""demo:stories: a GPT-2-architecture model of about 0.7 million parameters, byte-level BPE."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel

from demo_checkpoints.story_text import documents
from demo_checkpoints.training import save, train

END = "<|endoftext|>"
VOCAB_SIZE = 640
CONTEXT = 256
ROW = 256  # tokens of a training row, which holds several documents
IGNORED = -100  # label that the loss leaves out
TRAIN_DOCUMENTS, TRAIN_SEED = 30_000, 1
HELD_OUT_DOCUMENTS, HELD_OUT_SEED = 600, 2

CARD = """\
# demo:stories

A GPT-2-architecture model ({parameters:,} parameters, fp32) with a byte-level BPE tokenizer of {vocab}
tokens, trained from scratch on text of this project's own making: stories, counting, and questions with
answers (`scripts/demo_checkpoints/story_text.py`). It exists so that an export can be tried, and tested,
without a download; it knows nothing but that little world.

    Once upon a time
    Let us count to seven.
    Question: What colour is the sky? Answer:

Documents are separated by `<|endoftext|>`, so greedy decoding stops by itself.

Made by `scripts/make_demo_checkpoints.py stories`. Perplexity per token on {held_out} held-out documents
that do not occur in the training text: {perplexity:.3f} (`training.json`).
The text and the tokenizer are the same on every run; the weights are when the processor, its threads and
the versions named there are, and otherwise come out alike.

License: Apache-2.0, like the project.
"""


def make(directory: Path, *, steps: int = 900, batch_size: int = 16) -> None:
    """Trains the tokenizer and the model and writes the checkpoint."""
    train_text = documents(TRAIN_SEED, TRAIN_DOCUMENTS)
    known = set(train_text)
    held_out = [text for text in documents(HELD_OUT_SEED, HELD_OUT_DOCUMENTS) if text not in known]
    tokenizer = train_tokenizer(train_text)
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))

    torch.manual_seed(TRAIN_SEED)
    end = tokenizer.token_to_id(END)
    model = GPT2LMHeadModel(_config(end))
    with torch.no_grad():
        model.transformer.wpe.weight.copy_(sinusoids(CONTEXT, model.config.n_embd))
    rows, positions, labels = packed(
        [[*encoding.ids, end] for encoding in tokenizer.encode_batch(train_text)]
    )
    order = torch.randperm(len(rows))

    def loss_of_step(step: int) -> torch.Tensor:
        picked = order[torch.arange(step * batch_size, (step + 1) * batch_size) % len(rows)]
        batch = {"input_ids": rows[picked], "position_ids": positions[picked], "labels": labels[picked]}
        return model(**batch, use_cache=False).loss

    seconds = train(model, loss_of_step, steps=steps, learning_rate=3e-3)
    result = perplexity(model, [[*tokenizer.encode(text).ids, end] for text in held_out])
    print(f"trained in {seconds:.0f} s; held-out perplexity {result:.3f} on {len(held_out)} documents")
    facts = {
        "steps": steps,
        "batch_size": batch_size,
        "context": CONTEXT,
        "train_documents": TRAIN_DOCUMENTS,
        "held_out_documents": len(held_out),
        "held_out_perplexity": round(result, 4),
    }
    save(model, directory, _tokenizer_config(), facts)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    card = CARD.format(
        parameters=parameters, vocab=tokenizer.get_vocab_size(), held_out=len(held_out), perplexity=result
    )
    (directory / "README.md").write_text(card, encoding="utf-8")


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """A tokenizer.json laid out as GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def packed(sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Whole documents one after another in rows: ids, positions and labels, int64 [rows, ROW].

    Positions begin anew with each document, by which transformers keeps documents from seeing each other:
    every one is learned as if it stood alone, as prompts do. What is left of a row is not learned from.
    """
    rows: list[list[int]] = []
    positions: list[list[int]] = []
    for sequence in sequences:
        if not rows or len(rows[-1]) + len(sequence) > ROW:
            rows.append([])
            positions.append([])
        rows[-1] += sequence
        positions[-1] += range(len(sequence))
    labels = _filled(rows, IGNORED)
    return labels.clamp(min=0), _filled(positions, 0), labels


def _filled(rows: list[list[int]], value: int) -> torch.Tensor:
    return torch.tensor([row + [value] * (ROW - len(row)) for row in rows])


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Initial position embeddings [length, width]: learning "the token before" takes a fraction of the steps.

    Vaswani et al. 2017, section 3.5, scaled to the size of GPT-2's other initial embeddings.
    """
    rates = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(length)[:, None] * rates  # [length, width / 2]
    return 0.05 * torch.cat([angles.sin(), angles.cos()], dim=1)


@torch.no_grad()
def perplexity(model: GPT2LMHeadModel, sequences: list[list[int]]) -> float:
    """exp of the mean negative log likelihood per predicted token, each document alone."""
    total, count = 0.0, 0
    for ids in sequences:
        row = torch.tensor([ids])
        total += model(input_ids=row, labels=row).loss.item() * (len(ids) - 1)
        count += len(ids) - 1
    return math.exp(total / count)


def _config(end: int) -> GPT2Config:
    return GPT2Config(
        vocab_size=VOCAB_SIZE,
        n_positions=CONTEXT,
        n_embd=128,
        n_layer=3,
        n_head=4,
        initializer_range=0.05,  # GPT-2's 0.02 is for wider models
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
    )


def _tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "add_prefix_space": False,
        "bos_token": END,
        "eos_token": END,
        "unk_token": END,
        "model_max_length": CONTEXT,
    }
