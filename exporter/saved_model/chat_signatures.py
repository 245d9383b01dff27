"""The signatures of templates: texts of fields in, an answer out; a prompt in segments in, ids out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from exporter.chat import ChatParts, Prompt
from exporter.choices import RowErrors
from exporter.devices import CPU
from exporter.prompts.chat import Chat, Fixed
from exporter.prompts.parts import chosen, missing, prompt_parts
from exporter.prompts.templates import Template
from exporter.prompts.thinking import split_thinking
from exporter.saved_model.programs import GenerationProgram
from exporter.saved_model.requests import (
    Rows,
    encode_parts,
    first_error,
    fit_rows,
    message_where,
    utf8_error,
)
from exporter.saved_model.signatures import (
    Policy,
    Signature,
    answered,
    finish,
    generated_texts,
    longest_prompt,
    trace,
)

if TYPE_CHECKING:
    from exporter.tokenizer import TokenizerGraph

_TEXT = tf.TensorSpec([None], tf.string)


def chat_signature(
    program: GenerationProgram, tokenizer: TokenizerGraph, chat: Chat, policy: Policy
) -> Signature:
    """``user`` and, where it is not fixed, ``system`` string[batch] -> the outputs of ``text_signature``.

    Where thinking is told apart, ``generated_text`` is the answer alone, and ``reasoning`` string[batch] what
    was thought, or it is dropped. Prompts are never cut: they would lose their template.
    """
    policy = policy._replace(overflow="error")

    def chat_text(**texts: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            rows = chat_rows(tokenizer, chat, texts, longest_prompt(program, policy), policy)
        answer = program.run(rows)
        with tf.device(CPU):
            texts = {"generated_text": generated_texts(answer, tokenizer, program.options, None)}
            if chat.reasoning is not None:
                thought, own = split_thinking(texts["generated_text"], chat.reasoning)
                texts = {"generated_text": own, **({"reasoning": thought} if chat.apart else {})}
            return finish(texts, answer, rows, policy, baked=program.baked)

    return trace(chat_text, **dict.fromkeys(chat.fields, _TEXT))


def template_signature(
    program: GenerationProgram, tokenizer: TokenizerGraph, template: Template, policy: Policy
) -> Signature:
    """A string[batch] for every field -> the outputs of ``text_signature``. Prompts are never cut."""
    policy = policy._replace(overflow="error")
    name = template.fields[0]

    def template_text(**texts: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            error = first_error(*(utf8_error(text, field) for field, text in texts.items()))
            tokens, error = encode_parts(
                tokenizer,
                prompt_parts(template.prompt, texts),
                error,
                field=name,
                guarded=template.guarded,
                vocab_size=policy.vocab_size,
                add_special_tokens=True,
            )
            longest = longest_prompt(program, policy)
            rows = fit_rows(
                tokens, error, field=name, longest=longest, overflow=policy.overflow, advice=policy.advice
            )
        answer = program.run(rows)
        with tf.device(CPU):
            generated = generated_texts(answer, tokenizer, program.options, None)
            return finish({"generated_text": generated}, answer, rows, policy, baked=program.baked)

    return trace(template_text, **dict.fromkeys(template.fields, _TEXT))


def encode_segments_signature(
    tokenizer: TokenizerGraph,
    guarded: Sequence[str],
    *,
    count: int,
    pad_token_id: int,
    row_errors: RowErrors,
) -> Signature:
    """``segments`` string[batch, count] -> ``input_ids`` int32[batch, length] right-padded, counts, errors.

    Literal, text, literal, text, ..., the rest "": special tokens are tokens in literals alone.
    """

    def encode_segments(segments: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            bad = utf8_error(tf.reshape(segments, [-1]), "segments")
            # [batch * count] -> [batch, count]; of a row with several bad ones the message is the same.
            bad = tf.reduce_any(tf.reshape(tf.not_equal(bad, ""), [-1, count]), 1)
            error = message_where(bad, ["segments: not valid UTF-8"])
            tokens, error = encode_parts(tokenizer, segments, error, field="segments", guarded=guarded)
            return {
                "input_ids": tokens.to_tensor(pad_token_id, shape=[None, None]),
                "num_tokens": tf.cast(tokens.row_lengths(), tf.int32),
                "error": answered(error, row_errors),
            }

    return trace(encode_segments, segments=tf.TensorSpec([None, count], tf.string))


def chat_rows(
    tokenizer: TokenizerGraph,
    chat: Chat,
    given: Mapping[str, tf.Tensor],
    longest: int,
    policy: Policy,
) -> Rows:
    """The rendered prompts' rows, without what is baked of them; ``given``: string [batch] by field."""
    error = first_error(*(utf8_error(text, field) for field, text in given.items()))
    good = tf.equal(error, "")
    texts = {field: tf.where(good, text, "") for field, text in given.items()}
    parts, why_not = _fixed_parts(chat.fixed, texts, good) if chat.fixed else _parts(chat.parts, texts, good)
    tokens, error = encode_parts(
        tokenizer,
        parts,
        first_error(error, why_not),
        field="user",
        guarded=chat.guarded,
        vocab_size=policy.vocab_size,
    )
    if chat.prefix is not None:
        tokens = tokens[:, chat.prefix.skip :]
    return fit_rows(
        tokens, error, field="user", longest=longest, overflow=policy.overflow, advice=policy.advice
    )


def _fixed_parts(
    fixed: Fixed, texts: Mapping[str, tf.Tensor], good: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The parts behind the baked prefix, and an error string [batch] of rows that have none."""
    texts = {**texts, "system": tf.fill(tf.shape(good), fixed.system.encode())}
    return prompt_parts(fixed.prompt, texts), _needed(fixed.prompt, texts, good)


def _parts(chat: ChatParts, texts: Mapping[str, tf.Tensor], good: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The parts of prompts with or without a system text, and an error string [batch]."""
    has_system = tf.not_equal(texts["system"], "")
    without, with_system = chat.without_system, chat.with_system
    parts = prompt_parts(without, texts)
    error = _needed(without, texts, ~has_system & good)
    if with_system is None:
        return parts, first_error(error, message_where(has_system, [chat.no_system]))
    parts = chosen(has_system, prompt_parts(with_system, texts), parts)
    return parts, first_error(error, _needed(with_system, texts, has_system))


def _needed(prompt: Prompt, texts: Mapping[str, tf.Tensor], asked: tf.Tensor) -> tf.Tensor:
    """string [batch]: an error where a text that the template needs is empty, of rows that are ``asked``."""
    messages = [
        message_where(
            asked & empty, [f"{name}: the text is empty, and the chat template then writes another prompt"]
        )
        for name, empty in missing(prompt, texts).items()
    ]
    return first_error(*messages) if messages else tf.fill(tf.shape(asked), "")
