"""The signature ``resume``: the next piece of an answer, from its prompt and what it has been so far.

Nothing is kept between calls: what earlier pieces have shown of the text follows from the ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from exporter.devices import CPU
from exporter.generation.guides import NOWHERE
from exporter.generation.loop import ends_row, row_guides
from exporter.generation.result import FinishReason
from exporter.generation.rows import NO_GUIDE, RowOptions, check_piece, check_rows, mask_rows
from exporter.generation.stop import cut_answers
from exporter.saved_model.programs import GenerationProgram
from exporter.saved_model.requests import Rows, checked_ids, first_error, message_where, with_errors
from exporter.saved_model.signatures import (
    Policy,
    Signature,
    finish,
    ids_specs,
    prompts_from_ids,
    row_specs,
    trace,
)

if TYPE_CHECKING:
    from exporter.tokenizer import TokenizerGraph


def resume_signature(
    program: GenerationProgram, tokenizer: TokenizerGraph | None, *, vocab_size: int, policy: Policy
) -> Signature:
    """The inputs of ``generate_tokens``, ``generated_ids`` int32[batch, T] right-padded, ``num_generated``
    and ``piece_tokens`` int32[batch] -> the outputs of ``generate_tokens``, of the next piece alone.

    ``max_new_tokens`` (up to T) and ``seed`` are of the whole answer; ``finish_reason`` is "" while it
    goes on.
    """

    def resume(
        input_ids: tf.Tensor,
        num_tokens: tf.Tensor,
        generated_ids: tf.Tensor,
        num_generated: tf.Tensor,
        piece_tokens: tf.Tensor,
        **values: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            prompts = prompts_from_ids(input_ids, num_tokens, vocab_size, program, policy)
            given, given_error = checked_ids(
                *(generated_ids, num_generated),
                vocab_size=vocab_size,
                field="generated_ids",
                count="num_generated",
            )
            chosen = RowOptions(
                **values,
                finished=tf.zeros_like(num_tokens, tf.bool),
                num_generated=num_generated,
                piece_tokens=piece_tokens,
            )
            wrong = (
                check_rows(chosen, program.options, vocab_size, program.choices),
                check_piece(chosen, program.piece),
            )
            rows = with_errors(prompts, first_error(given_error, *wrong))
            rows = with_errors(rows, _guide_error(rows, given, chosen, program))
            chosen = mask_rows(chosen, tf.not_equal(rows.error, ""))
            read = with_errors(rows._replace(tokens=tf.concat([rows.tokens, given], axis=1)), rows.error)
        answer = program.run(read, chosen)
        with tf.device(CPU):
            content = {"generated_ids": answer["sequences"]}
            if tokenizer is not None:
                text = _added_text(answer, given, chosen, program, tokenizer)
                content["generated_text"] = text[:, None]
            return finish(content, answer, rows, policy, baked=program.baked)

    numbers = {name: tf.TensorSpec([None], tf.int32) for name in ("num_generated", "piece_tokens")}
    most = tf.TensorSpec([None, program.options.max_new_tokens], tf.int32)
    return trace(
        resume,
        **ids_specs(policy.longest),
        generated_ids=most,
        **numbers,
        **row_specs(program),
    )


def _guide_error(
    rows: Rows, given: tf.RaggedTensor, chosen: RowOptions, program: GenerationProgram
) -> tf.Tensor:
    """string [batch]: a message for good rows whose answer so far does not follow their guide."""
    if program.guides is None:
        return tf.zeros_like(rows.error)
    good = tf.equal(rows.error, "")
    start = program.guides.start(tf.where(good, row_guides(chosen), NO_GUIDE))
    after = program.guides.after(*_dense(given), start)
    return message_where(after == NOWHERE, ["generated_ids: no answer by the row's guide begins so"])


def _added_text(
    answer: dict[str, tf.Tensor],
    given: tf.RaggedTensor,
    chosen: RowOptions,
    program: GenerationProgram,
    tokenizer: TokenizerGraph,
) -> tf.Tensor:
    """string [batch]: what each piece adds to the text that pieces before have shown.

    Bytes of a character that is not whole, and what may still become a stop string, come with a later piece;
    what the last one leaves has been said.
    """
    count, reason = answer["num_tokens"][:, 0], answer["finish_reason"][:, 0]
    new = tf.RaggedTensor.from_tensor(answer["sequences"][:, 0], count)
    whole = tf.concat([given, new], axis=1)
    before, after = _tails(answer, program)
    shown = tokenizer.settled(*_dense(given), before)
    going_on = tokenizer.settled(*_dense(whole), after)
    ended = _whole_text(whole, reason, chosen, program, tokenizer)
    text = tf.where(reason == int(FinishReason.NONE), going_on, ended)
    start = tf.minimum(tf.strings.length(shown), tf.strings.length(text))
    added = tf.strings.substr(text, start, tf.strings.length(text))
    return tf.where(count > 0, added, "")


def _tails(answer: dict[str, tf.Tensor], program: GenerationProgram) -> tuple[tf.Tensor, tf.Tensor]:
    """string [batch] each: what may become a stop string, at the end of the text before and after."""
    if program.stop is None:
        none = tf.fill(tf.shape(answer["num_tokens"])[:1], "")
        return none, none
    spelled = tf.constant(program.stop.spelled)
    tails = tf.gather(spelled, answer["stop_states"][:, 0] % program.stop.found)  # [batch, 2]
    return tails[:, 0], tails[:, 1]


def _dense(ids: tf.RaggedTensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Right-padded ids, and int32 [batch] how many."""
    return ids.to_tensor(0), tf.cast(ids.row_lengths(), tf.int32)


def _whole_text(
    whole: tf.RaggedTensor,
    reason: tf.Tensor,
    chosen: RowOptions,
    program: GenerationProgram,
    tokenizer: TokenizerGraph,
) -> tf.Tensor:
    """string [batch]: the text of answers that have ended."""
    ids, count = _dense(whole)
    text, options = tokenizer.decode(ids, count), program.options
    if program.stop is None:
        return text
    cut = cut_answers(
        *(text[:, None], ids[:, None], count[:, None], reason[:, None]),
        stop_strings=options.stop_strings,
        is_end=lambda tokens: ends_row(tokens, options.eos_token_id, chosen),
    )
    return cut[:, 0]
