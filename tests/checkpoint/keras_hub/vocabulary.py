"""Small vocabularies in the files that KerasHub's tokenizers take."""

from __future__ import annotations

from collections.abc import Iterable

WORDS = (
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "once",
    "upon",
    "time",
    "hello",
    "world",
    "and",
    "is",
    "12",
    "1234",
    "mat.",
)


def byte_characters() -> list[str]:
    """The printable stand-ins of the 256 bytes, in GPT-2's order."""
    kept = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + index) for index, _ in enumerate(moved)]


def byte_level(specials: Iterable[str], *, first: bool = False) -> tuple[dict[str, int], list[str]]:
    """A vocabulary and merges that build WORDS from left to right, alone and behind a space.

    Args:
      first: special tokens come before all others; behind them otherwise.
    """
    merges: dict[str, None] = {}
    for word in (*WORDS, *(f"Ġ{word}" for word in WORDS)):
        for end in range(1, len(word)):
            merges[f"{word[:end]} {word[end]}"] = None
    tokens = [*byte_characters(), *(merge.replace(" ", "") for merge in merges)]
    specials = list(dict.fromkeys(specials))
    ordered = [*specials, *tokens] if first else [*tokens, *specials]
    return {token: index for index, token in enumerate(ordered)}, list(merges)


def sentence_piece(kind: str, specials: tuple[str, ...], **options: object) -> bytes:
    """A trained model, whose pieces 0, 1, 2 ... are ``specials``: control symbols, but for ``<unk>``."""
    import io

    from sentencepiece import SentencePieceTrainer

    names = {"<pad>": "pad", "<s>": "bos", "<bos>": "bos", "</s>": "eos", "<eos>": "eos", "<unk>": "unk"}
    roles: dict[str, object] = {f"{role}_id": -1 for role in ("pad", "bos", "eos")}
    for index, token in enumerate(specials):
        roles |= {f"{names[token]}_id": index, f"{names[token]}_piece": token}
    model = io.BytesIO()
    texts = [" ".join(WORDS), "Ünïcödé is fün, or not?", "the cat sat on the mat. The end!"] * 20
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type=kind,
        vocab_size=330 if options.get("byte_fallback") else 60,
        hard_vocab_limit=False,
        minloglevel=2,
        **roles,
        **options,
    )
    return model.getvalue()
