"""Which (batch_size, prompt_length) shapes the compiled function is specialised for."""

from __future__ import annotations

from exporter.errors import OptionError
from exporter.manifest import Buckets
from exporter.options import ExportOptions

#: Length buckets that are tried below the longest one: each step costs one compilation per batch size
#: and wastes at most three quarters of a prefill, which is cheap beside the decode loop.
_DEFAULT_LENGTHS = (32, 128, 512)
#: The default longest prompt: what fits a model's context, up to this.
_DEFAULT_LONGEST = 1024


def resolve_buckets(
    options: ExportOptions,
    *,
    context_length: int | None,
    max_new_tokens: int,
    context_is_hard: bool = True,
    prefix_length: int = 0,
) -> Buckets:
    """The buckets of an export.

    Args:
      options: prompt_lengths, or pad_to_multiple_of and max_prompt_length, or none of them.
      context_length: positions the model has; None where it has no limit.
      max_new_tokens: what must fit behind the longest prompt.
      context_is_hard: positions beyond the context do not exist. Where they do (rotary positions), lengths
        that the caller names may go beyond it, as the reference's may; derived ones never do.
      prefix_length: tokens of a baked prefix, which stand in the context but in no bucket.

    Raises:
      OptionError: the longest prompt and the new tokens do not fit the context.
    """
    room = None if context_length is None else context_length - prefix_length - max_new_tokens
    context = f"{context_length} tokens" + (f" with a prefix of {prefix_length}" if prefix_length else "")
    if room is not None and room < 1 and context_is_hard:
        raise OptionError(
            f"max_new_tokens: {max_new_tokens} leaves no room for a prompt in a context of "
            f"{context}; allowed: 1 to {(context_length or 1) - prefix_length - 1}"
        )
    lengths = _lengths(options, room)
    if room is not None and lengths[-1] > room and context_is_hard:
        raise OptionError(
            f"prompt_lengths: the longest prompt of {lengths[-1]} tokens and max_new_tokens={max_new_tokens} "
            f"exceed the model's context of {context}; allowed: prompts up to {room}"
        )
    return Buckets(prompt_lengths=lengths, batch_sizes=options.batch_sizes)


def _lengths(options: ExportOptions, room: int | None) -> tuple[int, ...]:
    if options.prompt_lengths is not None:
        return options.prompt_lengths
    longest = options.max_prompt_length or min(
        _DEFAULT_LONGEST if room is None else max(room, 1), _DEFAULT_LONGEST
    )
    if options.pad_to_multiple_of:
        step = options.pad_to_multiple_of
        return (*range(step, longest, step), longest)
    return (*(length for length in _DEFAULT_LENGTHS if length < longest), longest)
