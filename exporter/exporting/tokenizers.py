"""The compiled tokenizers of an export, each compared with the reference before anything is traced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import tensorflow as tf

from exporter.chat import Prompt
from exporter.errors import VerificationError
from exporter.exporting.limits import check_score
from exporter.exporting.plan import Plan
from exporter.prompts.chat import Chat, Fixed
from exporter.prompts.language_tokenizer import LanguageTokenizer
from exporter.prompts.parts import prompt_parts
from exporter.prompts.prefix_tokenizer import PrefixTokenizer
from exporter.tokenizer import TokenizerGraph, build_tokenizer, verify_tokenizer
from exporter.tokenizer.oracles import Comparison, compare_origins, tokenizer_notes
from exporter.tokenizer.parity import compare
from exporter.tokenizer.reference import reference_of
from exporter.tokenizer.samples import sample_strings
from exporter.tokenizer.sources import read_source

#: Strings of the short tokenizer check; ``genserve verify-tokenizer`` runs as many as wanted.
TOKENIZER_CHECKS = 200


@dataclass(frozen=True)
class Tokenizers:
    """What reads an export's texts.

    Attributes:
      prompts: prompts of every signature; None with ``--tokenizer none``.
      presets: those of presets that name languages of their own.
      reference: how the reference that was compiled and the other one compare; None with only one.
      notes: what a user should know of them, a line each.
    """

    prompts: TokenizerGraph | None
    presets: Mapping[str, TokenizerGraph]
    reference: Comparison | None = None
    notes: tuple[str, ...] = ()


def compile_tokenizers(plan: Plan) -> Tokenizers:
    """Compiles the checkpoint's tokenizer, with languages around it and behind the prefix.

    Raises:
      TokenizerUnsupportedError: a part of it cannot be compiled exactly.
      VerificationError: the graph differs from the reference on a sample string.
    """
    options = plan.options
    if options.tokenizer == "none":
        return Tokenizers(None, {})
    check_score(plan.checkpoint.path, options)
    path, origin, in_text = plan.checkpoint.path, options.tokenizer_reference, options.special_tokens_in_text
    plain = build_tokenizer(path, origin=origin, special_tokens_in_text=in_text)
    verify_tokenizer(
        path, count=TOKENIZER_CHECKS, origin=origin, tokenizer=plain, special_tokens_in_text=in_text
    ).check()
    both = compare_origins(path, origin, count=TOKENIZER_CHECKS, special_tokens_in_text=in_text)
    own = LanguageTokenizer(plain, plan.languages) if plan.languages else plain
    prompts = _behind_prefix(own, plan)
    if plan.chat and plan.chat.fixed:
        _check_chat(prompts, plan.chat, plan.chat.fixed)
    presets = {name: LanguageTokenizer(plain, languages) for name, languages in plan.preset_languages.items()}
    notes = tokenizer_notes(plain, both, plan.spec.vocab_size)
    return Tokenizers(prompts, presets, both, notes)


def _check_chat(tokenizer: TokenizerGraph, chat: Chat, fixed: Fixed) -> None:
    """Prompts behind a fixed system text must be those of the same text sent with each request.

    Raises:
      VerificationError: for some text of a user they are not.
    """
    samples = list(sample_strings(TOKENIZER_CHECKS, seed=9, tokens=chat.guarded))
    texts = {"user": tf.constant([text.encode() for text in samples])}
    texts["system"] = tf.fill([len(samples)], fixed.system.encode())
    prompt = chat.parts.with_system if fixed.system else chat.parts.without_system
    assert prompt is not None

    def encode(prompt: Prompt) -> list[list[int]]:
        parts = prompt_parts(prompt, texts)
        trusted = [place % 2 == 0 for place in range(parts.shape[1])]
        found: list[list[int]] = tokenizer.encode_parts(parts, trusted, chat.guarded).to_list()
        return found

    prefix = fixed.prefix
    for text, whole, own in zip(samples, encode(prompt), encode(fixed.prompt), strict=True):
        joined = [*prefix.tokens, *own[prefix.skip :]]
        if whole != joined:
            raise VerificationError(
                f"chat_system: with {text!r} behind it the tokenizer gives {whole}, cut after "
                f"{len(prefix.tokens)} tokens {joined}"
            )


def _behind_prefix(tokenizer: TokenizerGraph, plan: Plan) -> TokenizerGraph:
    """The tokenizer of texts behind the prefix, compared with the reference on the whole texts."""
    prefix = plan.prefix
    if prefix is None:
        return tokenizer
    behind = PrefixTokenizer(tokenizer, prefix)
    source = read_source(plan.checkpoint.path, plan.options.tokenizer_reference)
    reference = reference_of(source, plan.options.special_tokens_in_text)

    def encode(text: str) -> list[int]:
        return reference.encode(prefix.text + text)[len(prefix.tokens) :]

    whole = replace(reference, encode=encode)
    compare(behind, whole, sample_strings(TOKENIZER_CHECKS, seed=8, tokens=reference.tokens)).check()
    return behind
