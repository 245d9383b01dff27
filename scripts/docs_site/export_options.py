"""The reference of export options: every name that a job file, ``exporter.export`` and the flags know."""

from __future__ import annotations

from exporter.cli.export import export
from exporter.options import ExportOptions
from scripts.docs_site import commands
from scripts.docs_site.tables import attributes, default, kind, table

_HEAD = """\
# Export options

What decides how a version looks. The names are those of a job file's entries and of `exporter.export`; most
have a flag of [`genserve export`](cli.md#genserve-export). Flags go before an entry of a job file, that
before its `defaults`, these before the defaults here. What the checkpoint's own files set is under
`generation`: [generation options](../options.md).
"""
#: Flags that are called otherwise than the option that they set.
_FLAGS = {"chat_variables": "chat_variable", "ignore_config_keys": "ignore_config_key"}


def page() -> str:
    """The whole reference."""
    _, meaning = attributes(ExportOptions.__doc__)
    flags = {one.name: one.names for one in commands.parameters(export)}
    schema = ExportOptions.model_json_schema()
    rows = (
        (
            f"`{name}`",
            kind(field, lambda name: f"`{name}`"),
            default(field, required=name in schema["required"]),
            flags.get(_FLAGS.get(name, name), ""),
            meaning[name],
        )
        for name, field in schema["properties"].items()
    )
    return _HEAD + "\n" + table(("option", "type", "default", "flag", "what it does"), rows)
