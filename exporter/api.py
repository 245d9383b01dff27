"""The public calls ``exporter.export``, ``inspect`` and ``verify``: what the verbs do, as functions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import OptionError
from exporter.lazy import names_its_extra

if TYPE_CHECKING:
    from exporter.exporting.pipeline import ExportResult
    from exporter.inspection import Report


@names_its_extra
def export(
    model: Any,
    output: str | Path,
    *,
    report: Callable[[str], AbstractContextManager[Any]] = lambda _: nullcontext(),
    **options: Any,
) -> ExportResult:
    """Exports a checkpoint to ``output/NAME/VERSION``, with everything a server needs in ``output/serving``.

    Args:
      model: a local Hugging Face directory, a hub id, ``demo:NAME``, a KerasHub preset (a directory or its
        handle), or a ``keras_hub`` CausalLM or Seq2SeqLM in memory.
      output: the directory that a server's base paths lie in.
      report: called with each step's name; the step runs inside the returned context.
      **options: those of ``ExportOptions``: lengths in tokens, batch sizes in rows.

    Returns:
      The version's directory, its manifest, and how many seconds it took.

    Raises:
      GenserveError: whichever step refuses; nothing has been published then. Its class says what is wrong
        (``exporter.errors``), its message the field, the value and what is allowed.

    Examples:
        >>> import exporter
        >>> options = {"max_new_tokens": 8, "prompt_lengths": [16], "batch_sizes": [1]}
        >>> result = exporter.export("demo:stories", "models", **options, extra_signatures=[])
        >>> print(result.directory)
        models/stories/1
        >>> sorted(result.manifest.signatures)
        ['decode', 'encode', 'serving_default', 'tokens']
        >>> exporter.verify(result.directory)
        3
    """
    from exporter.deployment import write_serving_configs
    from exporter.exporting.pipeline import export as run
    from exporter.options import make_options

    checkpoint = None
    if not isinstance(model, (str, Path)):
        from exporter.exporting.keras_hub_task import checkpoint_of, name_of

        if options.get("adapter") is not None:
            raise OptionError("adapter does not go with a task in memory: merge it into the task first")
        options = {"name": model.name, **options} if hasattr(model, "name") else options
        model, checkpoint = name_of(model), checkpoint_of(model)
    result = run(make_options({"model": str(model), **options}), Path(output), report, checkpoint)
    write_serving_configs(Path(output))
    return result


@names_its_extra
def inspect(model: str | Path, revision: str | None = None) -> Report:
    """What a checkpoint is and whether it can be exported; of the weights only the headers are read.

    Args:
      model: a local Hugging Face directory, a hub id, or ``demo:NAME``.
      revision: branch, tag or commit of a hub id.

    Raises:
      CheckpointError: there is no checkpoint.

    Examples:
        >>> import exporter
        >>> found = exporter.inspect("demo:stories")
        >>> found.model_type, found.supported, found.parameters
        ('gpt2', True, 709760)
    """
    from exporter.checkpoint import locate
    from exporter.inspection import inspect_checkpoint

    located = locate(str(model), revision)
    return inspect_checkpoint(located.path, located.notes)


@names_its_extra
def verify(version: str | Path) -> int:
    """Replays the golden answers of a version; returns how many there were.

    Args:
      version: its directory, ``OUT/NAME/VERSION``.

    Raises:
      VerificationError: an answer differs; all that differ are listed.
    """
    from exporter.verification import verify_version

    return verify_version(Path(version))
