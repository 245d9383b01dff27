"""The signatures of templates: texts of fields in, an answer out; a prompt in segments in, ids out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from exporter.chat import Prompt
from exporter.choices import RowErrors
from exporter.devices import CPU
from exporter.prompts.chat import Chat
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
    """``user``, ``system`` string[batch] -> the outputs of ``text_signature``.

    Where thinking is told apart, ``generated_text`` is the answer alone, and ``reasoning`` string[batch] what
    was thought, or it is dropped. Prompts are never cut: they would lose their template.
    """
    policy = policy._replace(overflow="error")

    def chat_text(user: tf.Tensor, system: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            rows = chat_rows(tokenizer, chat, user, system, longest_prompt(program, policy), policy)
        answer = program.run(rows)
        with tf.device(CPU):
            texts = {"generated_text": generated_texts(answer, tokenizer, program.options, None)}
            if chat.reasoning is not None:
                thought, own = split_thinking(texts["generated_text"], chat.reasoning)
                texts = {"generated_text": own, **({"reasoning": thought} if chat.apart else {})}
            return finish(texts, answer, rows, policy)

    return trace(chat_text, user=_TEXT, system=_TEXT)


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
            return finish({"generated_text": generated}, answer, rows, policy)

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
    user: tf.Tensor,
    system: tf.Tensor,
    longest: int,
    policy: Policy,
) -> Rows:
    """The rendered prompts' rows."""
    error = first_error(utf8_error(user, "user"), utf8_error(system, "system"))
    good = tf.equal(error, "")
    texts = {"user": tf.where(good, user, ""), "system": tf.where(good, system, "")}
    has_system = tf.not_equal(texts["system"], "")
    without, with_system = chat.parts.without_system, chat.parts.with_system
    parts = prompt_parts(without, texts)
    error = first_error(error, _needed(without, texts, ~has_system & good))
    if with_system is None:
        error = first_error(error, message_where(has_system, [chat.parts.no_system]))
    else:
        parts = chosen(has_system, prompt_parts(with_system, texts), parts)
        error = first_error(error, _needed(with_system, texts, has_system))
    tokens, error = encode_parts(
        tokenizer, parts, error, field="user", guarded=chat.guarded, vocab_size=policy.vocab_size
    )
    return fit_rows(
        tokens, error, field="user", longest=longest, overflow=policy.overflow, advice=policy.advice
    )


def _needed(prompt: Prompt, texts: dict[str, tf.Tensor], asked: tf.Tensor) -> tf.Tensor:
    """string [batch]: an error where a text that the template needs is empty, of rows that are ``asked``."""
    messages = [
        message_where(
            asked & empty, [f"{name}: the text is empty, and the chat template then writes another prompt"]
        )
        for name, empty in missing(prompt, texts).items()
    ]
    return first_error(*messages) if messages else tf.fill(tf.shape(asked), "")
