"""What signatures call inside compiled functions: ``generate``, ``score`` and other questions."""

from __future__ import annotations

from exporter.errors import OptionError
from exporter.generation.beam import beam_search
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.lookup import lookup_search
from exporter.generation.result import Generated
from exporter.generation.rows import RowOptions
from exporter.generation.sampling import decode
from exporter.generation.scoring import NextTokens, PromptLogprobs, Scored, next_token, prompt_logprobs, score
from exporter.generation.step import Prompt, StepModel
from exporter.generation.stop import StopAutomaton

__all__ = [
    "Generated",
    "NextTokens",
    "PromptLogprobs",
    "Scored",
    "generate",
    "next_token",
    "prompt_logprobs",
    "score",
]

# What greedy search with prompt lookup reads; any other option has to be at its default.
_LOOKUP_FIELDS = {
    *("max_new_tokens", "max_length", "stop_strings", "eos_token_id", "pad_token_id", "bos_token_id"),
    *("decoder_start_token_id", "prompt_lookup_num_tokens", "max_matching_ngram_size", "seed"),
    # Read by sampling and beam search only.
    *("temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),
    *("early_stopping", "length_penalty", "renormalize_logits"),
}


def generate(
    model: StepModel,
    prompt: Prompt,
    options: GenerationOptions,
    rows: RowOptions,
    *,
    row_options: bool,
    stop: StopAutomaton | None = None,
    piece: int = 0,
    guides: Guides | None = None,
) -> Generated:
    """Generates the continuation of every prompt. Call it inside ``tf.function(jit_compile=True)``.

    Args:
      model: the step model.
      prompt: the batch of prompts.
      options: the signature's options, baked into the graph.
      rows: options of the rows, [batch]. ``max_new_tokens``, ``seed`` (after ``resolve_seeds``) and
        ``finished`` are always read, the others only with ``row_options``.
      row_options: False bakes the values of ``options``; what they do not use costs nothing. True reads them
        from ``rows``: one program for all settings.
      stop: the automaton of ``options.stop_strings``, if there are any.
      piece: static; above 0 answers go on from the ``rows.num_generated`` tokens at the prompts' ends, by at
        most so many; one sequence a row, without beams.
      guides: those that ``rows.guide`` chooses from; or the options' own alone, which all rows follow.

    Returns:
      The new tokens.

    Raises:
      OptionError: stop strings without their automaton, a guide without its table.
    """
    if options.stop_strings and stop is None:
        raise OptionError("stop_strings: the tokenizer's vocabulary is needed to stop at them")
    if options.guide is not None and guides is None:
        raise OptionError(f"{options.guide.name}: the tokenizer's vocabulary is needed to follow it")
    if can_look_up(options, row_options):
        return lookup_search(model, prompt, options, rows, stop)
    if options.num_beams > 1:
        return beam_search(model, prompt, options, rows, stop, guides, row_options=row_options)
    return decode(model, prompt, options, rows, stop, guides, row_options=row_options, piece=piece)


def can_look_up(options: GenerationOptions, row_options: bool) -> bool:
    """Whether prompt lookup is asked for and applies: greedy search without processors or scores.

    Where it does not apply, plain greedy search gives the same ids.
    """
    plain = GenerationOptions(**{name: getattr(options, name) for name in _LOOKUP_FIELDS})
    return options.prompt_lookup_num_tokens > 0 and not row_options and options == plain
