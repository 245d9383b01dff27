"""Which part of a prompt prefix is read once, at export, and what is tokenized with each request.

    prefix text   You are kind. Answer in one word. Question:
                  [     baked tokens             ][  rest  ] + request text

The cut is the last barrier of the text (``exporter.tokenizer.barriers``): no continuation changes a token
before it. A request's text is then tokenized as ``anchor + rest + text``, where the anchor, the last
character or added token before the cut, stands for all that was cut off: behind it a tokenizer does what it
does in the middle of a text. The tokens of the anchor, and those that a template puts in front (BOS), are
dropped again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import OptionError, UnsupportedError, VerificationError
from exporter.options import ExportOptions
from exporter.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from exporter.choices import TokenizerReference
    from exporter.generation.generation_options import GenerationOptions
    from exporter.tokenizer.barriers import Barriers
    from exporter.tokenizer.sources import JsonSource

#: Continuations on which every export checks that the cut changes no token.
CHECKED_CONTINUATIONS = 1500
#: Texts that change the tokens before them where anything can.
_HOSTILE = [
    *(
        "",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\r\n",
        "\u0301",
        "\u0338",
        "\u200d",
        "\ufe0f",
        "\u3099",
        "\x00",
        "'s",
        "'ll",
    ),
    *(
        "0",
        "12",
        "s",
        "ing",
        "ly",
        "S",
        "ß",
        ".",
        "...",
        ",",
        "-",
        "/",
        "東京",
        "の",
        "안",
        "ᆨ",
        "م",
        "👍🏽",
        " \u0301",
        "▁",
        "Ġ",
    ),
]


@dataclass(frozen=True)
class Prefix:
    """A prefix text, cut.

    Attributes:
      text: all of it.
      tokens: the baked ones, with those that the tokenizer's template puts in front.
      anchor: what stands before ``rest`` when a request is tokenized; its tokens are dropped.
      rest: the end of the text, tokenized with each request.
      skip: how many tokens are dropped: of the template's front and of the anchor.
      rest_tokens: how many tokens ``rest`` makes when nothing follows.
      option: what asked for it.
    """

    text: str
    tokens: tuple[int, ...]
    anchor: str
    rest: str
    skip: int
    rest_tokens: int
    option: str = "prefix_text"

    @property
    def sha256(self) -> str:
        """Of the text in UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def resolve_prefix(options: ExportOptions, directory: Path, spec: ModelSpec) -> Prefix | None:
    """The prefix that an export asks for, cut; None without.

    Raises:
      OptionError: an empty text, or a file that cannot be read.
      UnsupportedError: the model reads prompts in both directions, or ``cut_prefix`` refuses.
    """
    text = options.prefix()
    if text is None:
        return None
    if spec.kind == "encoder_decoder":
        raise UnsupportedError(
            f"prefix_text: {spec.model_type} is an encoder-decoder model: its encoder reads a prompt in both "
            "directions, so that nothing can be read before the rest is known; send it with each request"
        )
    return cut_prefix(
        directory,
        text,
        origin=options.tokenizer_reference,
        special_tokens_in_text=options.special_tokens_in_text,
    )


def cut_prefix(
    directory: Path, text: str, *, origin: TokenizerReference = "files", special_tokens_in_text: bool = True
) -> Prefix:
    """Cuts ``text`` for the tokenizer of a checkpoint; ``origin`` as in ``tokenizer.sources.read_source``.

    Raises:
      UnsupportedError: no token of it is certain to stay the same under every continuation.
      VerificationError: the reference tokenizer contradicts the cut (a proof has failed).
    """
    from exporter.tokenizer.reference import reference_of
    from exporter.tokenizer.sources import JsonSource, read_source

    source = read_source(directory, origin)
    if not isinstance(source, JsonSource):
        raise UnsupportedError(
            f"prefix_text: {type(source.tokenizer).__name__} has no tokenizer.json, from which it could be "
            "proven that tokens stay the same under every continuation; send the text with each request"
        )
    reference = reference_of(source, special_tokens_in_text)
    encoding = source.tokenizer.encode(text)
    front = encoding.special_tokens_mask.index(0) if 0 in encoding.special_tokens_mask else 0
    prefix = _cut(source, text, front, encoding.ids, "prefix_text")
    _check(prefix, reference.encode, list(_continuations(reference.tokens)))
    return prefix


def cut_rendered(source: JsonSource, text: str, option: str) -> Prefix:
    """Cuts ``text``, in which special tokens are tokens and to which none are added: a template's own.

    Raises as ``cut_prefix`` does, in the name of ``option``.
    """
    source.tokenizer.encode_special_tokens = False

    def encode(text: str) -> list[int]:
        ids: list[int] = source.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    prefix = _cut(source, text, 0, encode(text), option)
    added = source.tokenizer.get_added_tokens_decoder().values()
    _check(prefix, encode, list(_continuations(tuple(token.content for token in added))))
    return prefix


def _cut(source: JsonSource, text: str, front: int, ids: Sequence[int], option: str) -> Prefix:
    """``ids`` of the whole text, the first ``front`` of them those that a post-processor puts there."""
    from exporter.tokenizer.barriers import Barriers

    place, anchor = _last_barrier(Barriers(source), text, option)

    def count(part: str) -> int:
        return len(source.tokenizer.encode(part, add_special_tokens=False).ids)

    return Prefix(
        text=text,
        tokens=tuple(ids[: front + count(text[:place])]),
        anchor=anchor,
        rest=text[place:],
        skip=front + count(anchor),
        rest_tokens=count(anchor + text[place:]) - count(anchor),
        option=option,
    )


def check_prefix(prefix: Prefix, spec: ModelSpec, longest: int, generation: GenerationOptions) -> None:
    """Refuses what could not be exact behind the prefix, for prompts of up to ``longest`` own tokens.

    Raises:
      OptionError: no room is left for a request.
      UnsupportedError: the prefix's keys would depend on what follows them.
    """
    count = len(prefix.tokens)
    total = count + longest + generation.max_new_tokens
    if generation.max_length is not None and generation.max_length <= count + prefix.rest_tokens:
        raise OptionError(
            f"max_length: {generation.max_length} leaves no room behind the prefix of "
            f"{count + prefix.rest_tokens} tokens"
        )
    if max(prefix.tokens) >= spec.vocab_size:
        raise OptionError(
            f"{prefix.option}: token {max(prefix.tokens)} is not in the model's vocabulary; allowed: 0 to "
            f"{spec.vocab_size - 1}"
        )
    spec.check_lengths(count + longest, generation.max_new_tokens)
    bound = spec.rescaled_beyond
    if bound is not None and total > bound:
        raise UnsupportedError(
            f"{prefix.option}: dynamic rope scaling turns all keys of a prompt by its whole length "
            f"beyond {bound} tokens, and prefix {count} + prompt {longest} + max_new_tokens "
            f"{generation.max_new_tokens} = {total} could reach there; stay below it"
        )
    if spec.decoder.embedding.padding_token in prefix.tokens:
        raise UnsupportedError(
            f"{prefix.option}: it holds the padding token {spec.decoder.embedding.padding_token}, which "
            f"takes no position in {spec.model_type}"
        )


def check_rest(prefix: Prefix, shortest: int) -> None:
    """Raises OptionError where the smallest length bucket cannot hold the rest and one token more."""
    if prefix.rest_tokens >= shortest:
        raise OptionError(
            f"prompt_lengths: {shortest} leaves no room for a prompt behind the {prefix.rest_tokens} tokens "
            f"of {prefix.rest!r}, the end of the prefix, which are tokenized with each request; allowed: "
            f"{prefix.rest_tokens + 1} and more"
        )


def _last_barrier(barriers: Barriers, text: str, option: str) -> tuple[int, str]:
    """The last barrier's place, and the anchor: an added token, a character, or nothing before a token."""
    spans, reasons = list(barriers.tokens_in(text)), []
    ends = {end: text[start:end] for start, end in spans}
    anchors = {**dict.fromkeys((start for start, _ in spans), ""), **ends}
    if len(text) in ends:
        return len(text), ends[len(text)]
    for place in range(len(text) - 1, 0, -1):
        if place in anchors:
            return place, anchors[place]
        rest = text[place:]
        reason = barriers.why_not(text[:place], rest) or barriers.why_not(text[place - 1], rest)
        if not reason:
            return place, text[place - 1]
        reasons.append(reason)
    raise UnsupportedError(
        f"{option}: no token of it is certain to stay the same under every continuation, so nothing can be "
        f"baked ({_telling(reasons)}); send the text with each request, or begin it with a few more words"
    )


def _telling(reasons: list[str]) -> str:
    """The reason that says most: the commonest that is not about white space alone."""
    counts = Counter(reason for reason in reasons if not reason.startswith("white space"))
    return counts.most_common(1)[0][0] if counts else "it has no two words"


def _continuations(tokens: tuple[str, ...]) -> Iterator[str]:
    """Request texts: hostile ones, added tokens whole and in part, and generated strings."""
    from exporter.tokenizer.samples import sample_strings

    yield from _HOSTILE
    for token in tokens[:200]:
        yield from (token, " " + token, token[1:], token[:-1])
    yield from sample_strings(CHECKED_CONTINUATIONS, seed=8, tokens=tokens)


def _check(prefix: Prefix, encode: Callable[[str], list[int]], texts: list[str]) -> None:
    """The cut must change no token of any of the texts, in the reference tokenizer.

    Raises:
      VerificationError: it does; what the compiled tokenizer does is checked by ``verify_tokenizer``.
    """
    for text in texts:
        whole = encode(prefix.text + text)
        joined = [*prefix.tokens, *encode(prefix.anchor + prefix.rest + text)[prefix.skip :]]
        if whole != joined:
            raise VerificationError(
                f"{prefix.option}: with {text!r} behind it the reference tokenizer gives {whole}, cut after "
                f"{len(prefix.tokens)} tokens {joined}"
            )
