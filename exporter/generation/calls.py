"""What a signature calls inside the compiled function."""

from __future__ import annotations

from exporter.errors import OptionError
from exporter.generation.beam import beam_search
from exporter.generation.loop import decode
from exporter.generation.options import GenerationOptions
from exporter.generation.result import Generated
from exporter.generation.rows import RowOptions
from exporter.generation.step import Prompt, StepModel
from exporter.generation.stop import StopAutomaton


def generate(
    model: StepModel,
    prompt: Prompt,
    options: GenerationOptions,
    rows: RowOptions,
    *,
    row_options: bool,
    stop: StopAutomaton | None = None,
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

    Returns:
      The new tokens.

    Raises:
      OptionError: stop strings without their automaton.
    """
    if options.stop_strings and stop is None:
        raise OptionError("stop_strings: the tokenizer's vocabulary is needed to stop at them")
    search = beam_search if options.num_beams > 1 else decode
    return search(model, prompt, options, rows, stop, row_options=row_options)
