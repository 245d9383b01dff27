"""Which signatures an export serves, and the compiled program behind each: decided before any is traced."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal, NamedTuple, get_args

from exporter.choices import Overflow
from exporter.errors import OptionError
from exporter.generation.generation_options import GenerationOptions
from exporter.guides import Guide
from exporter.manifest import WARM_UP, Buckets
from exporter.options import ExportOptions

#: What a signature takes and answers.
Kind = Literal[
    "text",
    "tokens",
    "generate",
    "generate_tokens",
    "resume",
    "score",
    "next_token",
    "prompt_logprobs",
    "template",
    "chat",
    "encode",
    "encode_segments",
    "decode",
]

#: Names of genserve's own signatures; presets have others.
OWN_SIGNATURES = frozenset(get_args(Kind)) - {"text"} | {"serving_default", WARM_UP}


class Guided(NamedTuple):
    """A guide, and the tokens that end an answer by it: what a table is made for."""

    guide: Guide
    eos_token_id: tuple[int, ...]


@dataclass(frozen=True)
class ProgramKey:
    """What makes a compiled program another one; signatures with equal keys share theirs.

    Attributes:
      kind: what it computes.
      options: static generation options, of "generation".
      row_options: whether every per-row option is an input, of "generation".
      row_token_ids: how many ids a row's lists hold; 0: extras are no inputs.
      piece: answers go on by at most so many tokens, of "generation"; 0: they begin and end in one call.
      lengths: its length buckets, where they are not the export's.
      guides: what a row's ``guide`` chooses from; without any it is no input.
      prefix: the tokens in front of every row's own, which the model has baked.
      size: the widest continuation of "score", how many tokens "next_token" and, of each place,
        "prompt_logprobs" answer.
    """

    kind: Literal["generation", "score", "next_token", "prompt_logprobs"]
    options: GenerationOptions | None = None
    row_options: bool = False
    row_token_ids: int = 0
    piece: int = 0
    lengths: tuple[int, ...] = ()
    guides: tuple[Guide, ...] = ()
    prefix: tuple[int, ...] = ()
    size: int = 0

    def buckets(self, common: Buckets) -> Buckets:
        """The shapes that it is compiled for; ``common`` are the export's."""
        return common.model_copy(update={"prompt_lengths": self.lengths}) if self.lengths else common

    @property
    def guided(self) -> tuple[Guided, ...]:
        """What its answers follow: guides that rows choose from, or the options' own."""
        if self.options is None:
            return ()
        own = self.options.guide
        guides = self.guides or (() if own is None else (own,))
        return tuple(Guided(guide, self.options.eos_token_id) for guide in guides)

    @property
    def guides_name(self) -> str:
        """What the joint tables of its guides are called, the same for equal ones."""
        return sha256(repr(self.guided).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Served:
    """One signature.

    Attributes:
      name: as requests name it.
      kind: what it takes and answers.
      program: behind it; None for "encode", "encode_segments" and "decode", which run on the host.
      preset: whose generation options and tokenizer it has: a preset's name, or "serving_default".
      lengths: the length buckets that its requests are meant for.
      overflow: what happens to prompts that are longer.
      advice: where to send these, as the end of their error.
    """

    name: str
    kind: Kind
    program: ProgramKey | None
    preset: str
    lengths: tuple[int, ...]
    overflow: Overflow
    advice: str = ""


def served_signatures(
    options: ExportOptions,
    generation: GenerationOptions,
    presets: Mapping[str, GenerationOptions],
    buckets: Buckets,
    vocab_size: int,
    guides: Mapping[str, Guide],
    chat: GenerationOptions | None = None,
    templates: Collection[str] = (),
    *,
    prefix: tuple[int, ...] = (),
    chat_prefix: tuple[int, ...] = (),
) -> tuple[Served, ...]:
    """Every signature of an export, in the order in which they are traced.

    ``chat``: the generation options of the chat signature; None where there is none. ``templates``: presets
    that have one; "serving_default" stands for the signature ``template``. ``prefix``, ``chat_prefix``: what
    is baked in front of all prompts but those of ``chat``, and of these.

    Raises:
      OptionError: a preset has the name of another signature.
    """
    taken = OWN_SIGNATURES & set(presets)
    if taken:
        raise OptionError(f"signatures: {sorted(taken)} are genserve's own names; choose others")

    def one(kind: str, name: str, program: ProgramKey | None, preset: str = "serving_default") -> Served:
        if program is not None:
            program = replace(program, prefix=chat_prefix if kind == "chat" else prefix)
        return Served(name, kind, program, preset, buckets.prompt_lengths, options.overflow)  # type: ignore[arg-type]

    default = ProgramKey("generation", generation)
    extra = options.extra_signatures
    any_row = ProgramKey(
        "generation",
        _single_sequence(generation),
        row_options=True,
        row_token_ids=options.row_token_ids if "generate_tokens" in extra else 0,
        guides=tuple(guides.values()),
    )
    if generation.decoder_start_token_id is not None:
        _refuse_encoders(options)
    result = _by_length(one("tokens", "tokens", default), options)
    if "generate_tokens" in extra:
        result += _by_length(one("generate_tokens", "generate_tokens", any_row), options)
    if "resume" in extra:
        result.append(one("resume", "resume", _in_pieces(any_row, options, buckets)))
    if "prompt_logprobs" in extra:
        top = min(generation.logprobs or 0, vocab_size)
        result.append(one("prompt_logprobs", "prompt_logprobs", ProgramKey("prompt_logprobs", size=top)))
    if options.tokenizer == "none":
        return tuple(result)
    for name, preset in {"serving_default": generation, **presets}.items():
        kind = "template" if name in templates and name != "serving_default" else "text"
        result += _by_length(one(kind, name, ProgramKey("generation", preset), name), options)
    if "serving_default" in templates:
        result += _by_length(one("template", "template", default), options)
    if "generate" in extra:
        result += _by_length(one("generate", "generate", any_row), options)
    if "score" in extra:
        result.append(one("score", "score", ProgramKey("score", size=generation.max_new_tokens)))
    if "next_token" in extra:
        count = min(options.next_tokens, vocab_size)
        result.append(one("next_token", "next_token", ProgramKey("next_token", size=count)))
    if chat is not None:
        result += _by_length(one("chat", "chat", ProgramKey("generation", chat)), options)
        result.append(one("encode_segments", "encode_segments", None))
    result += [one("encode", "encode", None), one("decode", "decode", None)]
    _refuse_twins(result)
    return tuple(result)


def _refuse_encoders(options: ExportOptions) -> None:
    """Refuses what only a decoder-only model answers."""
    reasons = {
        "resume": "an encoder-decoder model's answers cannot go on: what its decoder has written is no part "
        "of the prompt that its buckets hold",
        "prompt_logprobs": "an encoder-decoder model's encoder reads the prompt and predicts none of it",
    }
    for name, reason in reasons.items():
        if name in options.extra_signatures:
            raise OptionError(f"extra_signatures: {name}: {reason}; allowed: decoder-only models")


def programs_of(served: Sequence[Served]) -> dict[ProgramKey, str]:
    """Every compiled program, with the first signature that reaches it."""
    return {signature.program: signature.name for signature in reversed(served) if signature.program}


def _by_length(signature: Served, options: ExportOptions) -> list[Served]:
    """The signature, and with ``split_by_length`` one more per length bucket.

    These share the program; each has placeholders, and so a queue of a server's batcher, of its own.
    """
    if not options.split_by_length:
        return [signature]
    name, lengths = signature.name, signature.lengths
    split = []
    for length, longer in zip(lengths, (*lengths[1:], None), strict=True):
        own = replace(signature, name=f"{name}_{length}", lengths=(length,))
        if longer is not None:
            advice = f"; {name}_{longer} takes up to {longer}"
            own = replace(own, overflow="error", advice=advice)
        split.append(own)
    return [signature, *split]


def _in_pieces(any_row: ProgramKey, options: ExportOptions, buckets: Buckets) -> ProgramKey:
    """The program that goes on with answers; it reads prompts and what they have been answered so far."""
    assert any_row.options is not None
    most, lengths = any_row.options.max_new_tokens, buckets.prompt_lengths
    return replace(
        any_row,
        row_token_ids=options.row_token_ids,
        piece=min(options.resume_piece, most),
        lengths=(*lengths, lengths[-1] + most),
    )


def _single_sequence(options: GenerationOptions) -> GenerationOptions:
    """The exported defaults without what a row cannot choose: beams, several sequences, prompt lookup."""
    return options.model_copy(
        update={"num_beams": 1, "num_return_sequences": 1, "prompt_lookup_num_tokens": 0, "do_sample": True}
    )


def _refuse_twins(served: Sequence[Served]) -> None:
    names = [signature.name for signature in served]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise OptionError(f"split_by_length: two signatures would be called {twins[0]!r}; rename the preset")
