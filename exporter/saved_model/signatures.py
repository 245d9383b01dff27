"""The serving signatures: strings or ids in, strings or ids out, every tensor's dim 0 = batch.

Output rank: ``[batch]`` where the signature returns one sequence per prompt, ``[batch, n]`` otherwise,
the same for every output of a signature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from exporter.choices import Overflow, RowErrors
from exporter.devices import CPU
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.loop import ends_row
from exporter.generation.result import FinishReason
from exporter.generation.rows import RowOptions, check_rows, mask_rows, row_fields
from exporter.generation.stop import cut_answers
from exporter.saved_model.programs import GenerationProgram
from exporter.saved_model.requests import (
    Rows,
    checked_ids,
    encode_rows,
    rows_from_ids,
    rows_from_text,
    with_errors,
)

if TYPE_CHECKING:
    from exporter.prompts.prefix import Prefix
    from exporter.tokenizer import TokenizerGraph


class Signature(NamedTuple):
    """A traced signature.

    Attributes:
      function: a ConcreteFunction, called with keyword tensors.
      inputs: input name -> its TensorSpec.
    """

    function: Any
    inputs: dict[str, tf.TensorSpec]

    @property
    def outputs(self) -> dict[str, tf.TensorSpec]:
        """Output name -> its TensorSpec."""
        return dict(self.function.structured_outputs)


TEXT = tf.TensorSpec([None], tf.string)

#: ``finish_reason`` by FinishReason code.
_FINISH_REASONS = tuple("" if reason is FinishReason.NONE else reason.name.lower() for reason in FinishReason)


class Policy(NamedTuple):
    """What every generating signature of an export has in common.

    Attributes:
      longest: the longest prompt bucket.
      overflow: what happens to longer prompts.
      row_errors: whether a bad row answers, or fails its request.
      outputs: further outputs, see ``ExportOptions.outputs``.
      echo: whether ``generated_text`` starts with the prompt.
      prefix: what every prompt begins with; lengths and limits of rows do not count it.
      advice: where to send a prompt that is too long, as the end of its error.
      vocab_size: of the model; a text with a token beyond it is refused. None: not checked.
    """

    longest: int
    overflow: Overflow = "error"
    row_errors: RowErrors = "answer"
    outputs: tuple[str, ...] = ()
    echo: bool = False
    prefix: Prefix | None = None
    advice: str = ""
    vocab_size: int | None = None


def text_signature(program: GenerationProgram, tokenizer: TokenizerGraph, policy: Policy) -> Signature:
    """``text`` string[batch] -> ``generated_text``, ``num_tokens``, ``finish_reason``, ``error``."""

    def generate_text(text: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            rows = prompts_from_text(tokenizer, text, longest_prompt(program, policy), policy)
        answer = program.run(rows)
        with tf.device(CPU):
            generated = _echoed(generated_texts(answer, tokenizer, program.options, None), text, rows, policy)
            return finish({"generated_text": generated}, answer, rows, policy, baked=program.baked)

    return trace(generate_text, text=TEXT)


def generate_signature(program: GenerationProgram, tokenizer: TokenizerGraph, policy: Policy) -> Signature:
    """``text`` and every per-row option, each [batch] -> the outputs of ``text_signature``.

    One compiled program serves all settings; a value out of range is that row's own error.
    """

    def generate_with_options(text: tf.Tensor, **values: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            prompts = prompts_from_text(tokenizer, text, longest_prompt(program, policy), policy)
            rows, row_options = checked_rows(prompts, values, program, None)
        answer = program.run(rows, row_options)
        with tf.device(CPU):
            generated = _echoed(
                generated_texts(answer, tokenizer, program.options, row_options), text, rows, policy
            )
            return finish({"generated_text": generated}, answer, rows, policy, baked=program.baked)

    return trace(generate_with_options, text=TEXT, **row_specs(program, extras=False))


def generate_tokens_signature(
    program: GenerationProgram, tokenizer: TokenizerGraph | None, *, vocab_size: int, policy: Policy
) -> Signature:
    """The inputs of ``tokens`` and every per-row option, extras included -> the outputs of ``tokens``, and
    ``generated_text`` where there is a tokenizer."""

    def generate_ids_with_options(
        input_ids: tf.Tensor, num_tokens: tf.Tensor, **values: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            prompts = prompts_from_ids(input_ids, num_tokens, vocab_size, program, policy)
            rows, row_options = checked_rows(prompts, values, program, vocab_size)
        answer = program.run(rows, row_options)
        with tf.device(CPU):
            content = {"generated_ids": answer["sequences"]}
            if tokenizer is not None:
                content["generated_text"] = generated_texts(answer, tokenizer, program.options, row_options)
            return finish(content, answer, rows, policy, baked=program.baked)

    return trace(generate_ids_with_options, **ids_specs(policy.longest), **row_specs(program))


def row_specs(program: GenerationProgram, *, extras: bool = True) -> dict[str, tf.TensorSpec]:
    """The inputs of every per-row option of a program, with ``extras`` those that it has too."""
    fields = row_fields(extras=extras and program.row_token_ids > 0, guides=program.choices > 0)
    return {name: field.spec(program.row_token_ids) for name, field in fields.items()}


def checked_rows(
    prompts: Rows, values: dict[str, tf.Tensor], program: GenerationProgram, vocab_size: int | None
) -> tuple[Rows, RowOptions]:
    """Rows and their options; a bad row has its error and neutral options."""
    row_options = RowOptions(**values, finished=tf.zeros_like(prompts.error, tf.bool))
    rows = with_errors(prompts, check_rows(row_options, program.options, vocab_size, program.choices))
    return rows, mask_rows(row_options, tf.not_equal(rows.error, ""))


def tokens_signature(program: GenerationProgram, *, vocab_size: int, policy: Policy) -> Signature:
    """``input_ids`` int32[batch, longest] right-padded, ``num_tokens`` int32[batch] -> ``generated_ids``
    int32[batch, max_new_tokens] padded with the pad token, ``num_tokens``, ``finish_reason``, ``error``."""

    def generate_tokens(input_ids: tf.Tensor, num_tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            rows = prompts_from_ids(input_ids, num_tokens, vocab_size, program, policy)
        answer = program.run(rows)
        with tf.device(CPU):
            return finish({"generated_ids": answer["sequences"]}, answer, rows, policy, baked=program.baked)

    return trace(generate_tokens, **ids_specs(policy.longest))


def encode_signature(tokenizer: TokenizerGraph, *, pad_token_id: int, row_errors: RowErrors) -> Signature:
    """``text`` string[batch] -> ``input_ids`` int32[batch, length] right-padded, counts, errors."""

    def encode(text: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            tokens, error = encode_rows(tokenizer, text)
            error = answered(error, row_errors)
            return {
                "input_ids": tokens.to_tensor(pad_token_id, shape=[None, None]),
                "num_tokens": tf.cast(tokens.row_lengths(), tf.int32),
                "error": error,
            }

    return trace(encode, text=TEXT)


def decode_signature(
    tokenizer: TokenizerGraph, *, vocab_size: int, width: int, row_errors: RowErrors
) -> Signature:
    """``input_ids`` int32[batch, width] right-padded, ``num_tokens`` int32[batch] -> ``text``, ``error``."""

    def decode(input_ids: tf.Tensor, num_tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device(CPU):
            tokens, error = checked_ids(input_ids, num_tokens, vocab_size=vocab_size)
            lengths = tf.cast(tokens.row_lengths(), tf.int32)
            text = tokenizer.decode(tokens.to_tensor(0, shape=[None, width]), lengths)
            return {"text": text, "error": answered(error, row_errors)}

    return trace(decode, **ids_specs(width))


def detokenize(tokenizer: TokenizerGraph, sequences: tf.Tensor, num_tokens: tf.Tensor) -> tf.Tensor:
    """int32 [batch, n, length] sequences and int32 [batch, n] counts -> string [batch, n]."""
    # [batch, n, length] -> [batch * n, length]
    flat = tf.reshape(sequences, [-1, sequences.shape[-1]])
    return tf.reshape(tokenizer.decode(flat, tf.reshape(num_tokens, [-1])), tf.shape(num_tokens))


def prompts_from_text(tokenizer: TokenizerGraph, text: tf.Tensor, longest: int, policy: Policy) -> Rows:
    """string [batch] prompts -> their rows."""
    kept = policy.prefix.rest_tokens if policy.prefix else 0
    return rows_from_text(
        tokenizer,
        text,
        longest=longest,
        overflow=policy.overflow,
        keep_first=kept,
        advice=policy.advice,
        vocab_size=policy.vocab_size,
    )


def prompts_from_ids(
    input_ids: tf.Tensor, num_tokens: tf.Tensor, vocab_size: int, program: GenerationProgram, policy: Policy
) -> Rows:
    longest = longest_prompt(program, policy)
    return rows_from_ids(input_ids, num_tokens, vocab_size=vocab_size, longest=longest, advice=policy.advice)


def longest_prompt(program: GenerationProgram, policy: Policy) -> int:
    """The longest prompt that leaves room for a token: max_length counts a decoder's prompt."""
    limit = program.options.max_length
    if limit is None or program.program.encodes:
        return policy.longest
    return min(policy.longest, limit - 1 - program.baked)


def ids_specs(width: int) -> dict[str, tf.TensorSpec]:
    return {
        "input_ids": tf.TensorSpec([None, width], tf.int32),
        "num_tokens": tf.TensorSpec([None], tf.int32),
    }


def trace(function: Callable[..., dict[str, tf.Tensor]], **specs: tf.TensorSpec) -> Signature:
    """Traces a function of named tensors; the names become the signature's input names."""
    return Signature(tf.function(function, autograph=False).get_concrete_function(**specs), specs)


def generated_texts(
    answer: dict[str, tf.Tensor],
    tokenizer: TokenizerGraph,
    options: GenerationOptions,
    rows: RowOptions | None,
) -> tf.Tensor:
    """string [batch, n]: the generated texts, cut before stop strings; ``rows``: the rows' own options."""
    texts = detokenize(tokenizer, answer["sequences"], answer["num_tokens"])
    if not options.stop_strings:
        return texts

    def is_end(tokens: tf.Tensor) -> tf.Tensor:
        return ends_row(tokens, options.eos_token_id, rows)

    return cut_answers(
        texts,
        answer["sequences"],
        answer["num_tokens"],
        answer["finish_reason"],
        stop_strings=options.stop_strings,
        is_end=is_end,
    )


def _echoed(generated: tf.Tensor, text: tf.Tensor, rows: Rows, policy: Policy) -> tf.Tensor:
    """string [batch, n]: the prompts before the texts, where the policy says so."""
    if not policy.echo:
        return generated
    before = policy.prefix.text.encode() if policy.prefix else b""
    prompt = tf.where(tf.equal(rows.error, ""), tf.strings.join([tf.constant(before), text]), "")
    return tf.strings.join([tf.broadcast_to(prompt[:, None], tf.shape(generated)), generated])


#: Outputs of the compiled function that are passed on where the options ask for them.
_RECORDED = ("score", "logprobs", "top_tokens", "top_logprobs")


def finish(
    content: dict[str, tf.Tensor], answer: dict[str, tf.Tensor], rows: Rows, policy: Policy, *, baked: int
) -> dict[str, tf.Tensor]:
    """Adds counts, finish reasons and errors to ``content`` ([batch, n, ...]); drops n where it is 1.

    ``baked``: tokens in front of every row's own.
    """
    shape = tf.shape(answer["num_tokens"])  # [batch, n]

    def per_sequence(value: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(value[:, None], shape)

    error = per_sequence(answered(rows.error, policy.row_errors))
    good = tf.equal(error, "")
    code = tf.where(good, answer["finish_reason"], int(FinishReason.ERROR))
    outputs = {
        **content,
        "num_tokens": tf.where(good, answer["num_tokens"], 0),
        "finish_reason": tf.gather(tf.constant(_FINISH_REASONS), code),
        "error": error,
        **{name: answer[name] for name in _RECORDED if name in answer},
    }
    if "prompt_tokens" in policy.outputs:
        own = tf.cast(rows.tokens.row_lengths(), tf.int32)
        whole = tf.where(tf.equal(rows.error, ""), baked + own, own)
        outputs["prompt_tokens"] = per_sequence(whole)
    if "truncated" in policy.outputs:
        outputs["truncated"] = per_sequence(rows.truncated)
    one = answer["num_tokens"].shape[1] == 1
    return {name: value[:, 0] if one else value for name, value in outputs.items()}


def answered(error: tf.Tensor, row_errors: RowErrors) -> tf.Tensor:
    """The errors as they are, or INVALID_ARGUMENT with the first of them where row errors are raised."""
    if row_errors == "answer":
        return error
    bad = tf.boolean_mask(error, tf.not_equal(error, ""))
    with tf.control_dependencies([tf.Assert(tf.equal(tf.size(bad), 0), [bad[:1]])]):
        return tf.identity(error)
