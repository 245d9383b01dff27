"""demo:translate: a T5-architecture model of about 0.6 million parameters, unigram tokenizer."""

from __future__ import annotations

import io
import random
from itertools import permutations
from pathlib import Path

import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import T5Config, T5ForConditionalGeneration

from demo_checkpoints.number_words import LIMIT, english, french, german
from demo_checkpoints.training import save, train

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
VOCAB_SIZE = 300
SEED = 1
HELD_OUT = 300
FORMS = {"English": english, "German": german, "French": french, "digits": str}
DIRECTIONS = list(permutations(FORMS, 2))
IGNORED = -100  # label that the loss leaves out

CARD = """\
# demo:translate

A T5-architecture encoder-decoder ({parameters:,} parameters, fp32) with a SentencePiece unigram tokenizer
of {vocab} pieces, trained from scratch on a task of this project's own making: the numbers from 0 to 9,999
in digits and in English, German and French words, from each form into each other
(`scripts/demo_checkpoints/number_words.py`). It exists so that an encoder-decoder export can be tried, and
tested, without a download; it knows nothing else.

    translate English to German: four thousand three hundred twenty-one
    translate German to digits: zweiundvierzig
    translate digits to French: 1980

Made by `scripts/make_demo_checkpoints.py translate`. {held_out} numbers were held out of training in every
direction; greedy decoding answers {accuracy:.1%} of them exactly ({lowest:.1%} in the worst of the twelve
directions; `training.json` has each). The text and the tokenizer are the same on every run; the weights
are when the processor, its threads and the versions named there are, and otherwise come out alike.

License: Apache-2.0, like the project.
"""


def make(directory: Path, *, steps: int = 2500, batch_size: int = 96) -> None:
    """Trains the tokenizer and the model and writes the checkpoint."""
    rng = random.Random(SEED)
    known, held_out = split_numbers(rng)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "spiece.model").write_bytes(train_sentencepiece(rng, known))
    tokenizer = convert((directory / "spiece.model").read_bytes())
    tokenizer.save(str(directory / "tokenizer.json"))

    torch.manual_seed(SEED)
    model = T5ForConditionalGeneration(_config(tokenizer))

    def loss_of_step(step: int) -> torch.Tensor:
        pairs = [pair(*rng.choice(DIRECTIONS), _number(rng, known)) for _ in range(batch_size)]
        inputs, mask = _padded(tokenizer, [source for source, _ in pairs])
        labels, label_mask = _padded(tokenizer, [target for _, target in pairs])
        labels[label_mask == 0] = IGNORED
        return model(input_ids=inputs, attention_mask=mask, labels=labels).loss

    seconds = train(model, loss_of_step, steps=steps, learning_rate=3e-3)
    accuracies = {f"{a} to {b}": accuracy(model, tokenizer, a, b, held_out) for a, b in DIRECTIONS}
    mean = sum(accuracies.values()) / len(accuracies)
    print(f"trained in {seconds:.0f} s; held-out accuracy {mean:.1%} on {HELD_OUT} numbers")
    for direction, value in accuracies.items():
        print(f"  {direction}: {value:.1%}")
    facts = {
        "steps": steps,
        "batch_size": batch_size,
        "numbers": [0, LIMIT - 1],
        "held_out_numbers": HELD_OUT,
        "held_out_accuracy": round(mean, 4),
        "held_out_accuracy_by_direction": {name: round(value, 4) for name, value in accuracies.items()},
    }
    save(model, directory, _tokenizer_config(), facts)
    card = CARD.format(
        parameters=model.num_parameters(),
        vocab=tokenizer.get_vocab_size(),
        held_out=HELD_OUT,
        accuracy=mean,
        lowest=min(accuracies.values()),
    )
    (directory / "README.md").write_text(card, encoding="utf-8")


def split_numbers(rng: random.Random) -> tuple[list[int], list[int]]:
    """The numbers to train on and those held out, each increasing; every number below 100 is trained."""
    held_out = sorted(rng.sample(range(100, LIMIT), HELD_OUT))
    return sorted(set(range(LIMIT)) - set(held_out)), held_out


def pair(source: str, target: str, number: int) -> tuple[str, str]:
    """("translate English to digits: forty-two", "42")."""
    return f"translate {source} to {target}: {FORMS[source](number)}", FORMS[target](number)


def train_sentencepiece(rng: random.Random, numbers: list[int]) -> bytes:
    """A unigram model with T5's special pieces: <pad> 0, </s> 1, <unk> 2, no <s>."""
    texts = (text for _ in range(20_000) for text in pair(*rng.choice(DIRECTIONS), _number(rng, numbers)))
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts,
        model_writer=written,
        model_type="unigram",
        vocab_size=VOCAB_SIZE,
        character_coverage=1.0,
        split_digits=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=1,
    )
    return written.getvalue()


def convert(spiece: bytes) -> Tokenizer:
    """The tokenizer.json of a spiece.model, laid out as T5's."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(spiece)
    vocab = [(piece.piece, piece.score) for piece in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=False))
    tokenizer.add_special_tokens([PAD, END, UNKNOWN])
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, 1)]
    )
    return tokenizer


@torch.no_grad()
def accuracy(
    model: T5ForConditionalGeneration, tokenizer: Tokenizer, source: str, target: str, numbers: list[int]
) -> float:
    """Share of ``numbers`` whose greedy translation is exactly right."""
    pairs = [pair(source, target, number) for number in numbers]
    inputs, mask = _padded(tokenizer, [text for text, _ in pairs])
    answers = model.generate(input_ids=inputs, attention_mask=mask, do_sample=False, max_new_tokens=64)
    texts = tokenizer.decode_batch(answers.tolist())
    return sum(text == expected for text, (_, expected) in zip(texts, pairs, strict=True)) / len(pairs)


def _number(rng: random.Random, numbers: list[int]) -> int:
    """Small numbers are few, and are shown oftener than their share; ``numbers`` is increasing."""
    limit = rng.choices([100, 1000, LIMIT], weights=[1, 2, 5])[0]
    return numbers[rng.randrange(len(numbers) * limit // LIMIT)]


def _padded(tokenizer: Tokenizer, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and their mask, int64 [batch, length]."""
    tokenizer.enable_padding(pad_id=0, pad_token=PAD)
    encodings = tokenizer.encode_batch(texts)
    tokenizer.no_padding()
    ids = torch.tensor([encoding.ids for encoding in encodings])
    return ids, torch.tensor([encoding.attention_mask for encoding in encodings])


def _config(tokenizer: Tokenizer) -> T5Config:
    return T5Config(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=96,
        d_kv=24,
        d_ff=192,
        num_layers=3,
        num_heads=4,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=32,
        dropout_rate=0.0,
        feed_forward_proj="relu",
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )


def _tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "T5Tokenizer",
        "eos_token": END,
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "extra_ids": 0,
        "model_max_length": 128,
    }
