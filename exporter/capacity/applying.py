"""Chosen buckets written into a job file; everything else in it, comments too, stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from exporter.durable import write_text
from exporter.errors import OptionError

#: Other ways to name the lengths, which ``prompt_lengths`` excludes.
_OTHER_LENGTHS = ("pad_to_multiple_of", "max_prompt_length")


def apply_buckets(path: Path, place: int, batch_sizes: Sequence[int], prompt_lengths: Sequence[int]) -> None:
    """Sets ``batch_sizes`` and ``prompt_lengths`` of the job file's model number ``place``.

    Raises:
      OptionError: the file names the lengths in another way.
    """
    text = path.read_text(encoding="utf-8")
    for key, values in (("batch_sizes", batch_sizes), ("prompt_lengths", prompt_lengths)):
        entry, defaults = _entry(text, place)
        for other in _OTHER_LENGTHS:
            if key == "prompt_lengths" and (_value(entry, other) or _value(defaults, other)):
                raise OptionError(f"job file {path}: {other} excludes the prompt_lengths that --apply writes")
        text = _with(text, entry, key, f"[{', '.join(map(str, values))}]")
    write_text(path, text, path.stat().st_mode & 0o777)


def _entry(text: str, place: int) -> tuple[yaml.MappingNode, yaml.MappingNode | None]:
    """A model's mapping, and that of the defaults, with their places in the text."""
    job = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(job, yaml.MappingNode)  # it was read as a job before
    models, defaults = _value(job, "models"), _value(job, "defaults")
    assert isinstance(models, yaml.SequenceNode)
    entry = models.value[place]
    assert isinstance(entry, yaml.MappingNode)
    return entry, defaults if isinstance(defaults, yaml.MappingNode) else None


def _value(node: yaml.MappingNode | None, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None) if node else None


def _with(text: str, entry: yaml.MappingNode, key: str, value: str) -> str:
    """The text with ``key`` in the entry: its value replaced, or a line more."""
    old = _value(entry, key)
    if old is not None:
        end = old.start_mark.index + len(text[old.start_mark.index : old.end_mark.index].rstrip())
        return text[: old.start_mark.index] + value + text[end:]
    name, _ = entry.value[0]
    if entry.flow_style:
        return f"{text[: name.start_mark.index]}{key}: {value}, {text[name.start_mark.index :]}"
    indent = " " * name.start_mark.column
    return f"{text[: name.start_mark.index]}{key}: {value}\n{indent}{text[name.start_mark.index :]}"
