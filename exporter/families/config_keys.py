"""What the reference reads of a config.json, by model_type: a committed table, so that nothing heavy loads.

``scripts/make_config_keys.py`` writes the table from the source of one version of transformers, the one that
the graphs are compared with. Where another version is installed, what that one reads is told from its source
too, and a key that either of them reads counts as read: a new key that a newer version acts on stays an error
instead of being passed over, and so does an old one that only an older version knew.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import metadata, resources, util
from pathlib import Path
from typing import Any, NamedTuple

from exporter.families.scan import ReadKeys, keys_of, shared_keys
from exporter.spec import ModelSpec

TABLE = "config_keys.json"
# What only the code of rotary embeddings looks at.
ROTARY = frozenset({"partial_rotary_factor", "rope_parameters", "rope_scaling", "rope_theta", "rope_type"})


class Reference(NamedTuple):
    """``keys`` that are read, and by which ``version`` (or versions) of transformers."""

    keys: ReadKeys
    version: str


@cache
def reference_of(model_type: str) -> Reference:
    """What the reference reads of a config of this model_type; see the module."""
    table, installed = read_table(), _installed()
    keys = _own(model_type, table_keys(table, "shared"), table_keys(table, model_type))
    version = f"transformers {table['transformers']}"
    if installed is None or installed == table["transformers"]:
        return Reference(keys, version)
    root = package_directory()
    try:
        keys |= _own(model_type, shared_keys(root), keys_of(root, model_type))
    except (LookupError, SyntaxError):
        # Too old to know the family, or arranged otherwise: the table's version stands alone.
        return Reference(keys, version)
    return Reference(keys, f"{version} and {installed}")


def unread_notes(spec: ModelSpec) -> list[str]:
    """What to say of the keys of a config that its reference does not read."""
    keys = [key for key in spec.unread_config_keys if key not in ("auto_map", "model_type")]
    version, notes = reference_of(spec.model_type).version, []
    if keys:
        notes.append(f"keys of config.json that {version} does not read are ignored: {', '.join(keys)}")
    alias = "model_type" in spec.unread_config_keys
    if alias:
        notes.append(
            f"model_type of config.json is none of transformers: the graph is that of {spec.model_type}, "
            "whose keys and weights it has"
        )
    if "auto_map" in spec.unread_config_keys:
        notes.append(
            "auto_map of config.json names code of the checkpoint's own, which is never run: the graph "
            f"follows the class that transformers itself has for {spec.model_type}"
            + ("" if alias else ", its own choice without trust_remote_code")
        )
    return notes


def _own(model_type: str, shared: ReadKeys, family: ReadKeys) -> ReadKeys:
    """Shared code reads rotary parameters for every family; in those without, nothing comes of it."""
    rotary = "rope_parameters" in family.config
    return family | (shared if rotary else ReadKeys(shared.config - ROTARY))


def read_table() -> dict[str, Any]:
    """The committed table: the version, and names by model_type beside those of all ("shared")."""
    text = resources.files("exporter.families").joinpath(TABLE).read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def table_keys(table: dict[str, Any], entry: str) -> ReadKeys:
    """One entry of the table; empty where there is none."""
    found: dict[str, str] = table["keys"].get(entry, {})
    return ReadKeys(*(frozenset(found.get(field, "").split()) for field in ReadKeys._fields))


def package_directory() -> Path:
    """Where transformers is installed; it is not imported.

    Raises:
      LookupError: it is not installed.
    """
    found = util.find_spec("transformers")
    if found is None or found.origin is None:
        raise LookupError("transformers is not installed")
    return Path(found.origin).parent


def _installed() -> str | None:
    try:
        return metadata.version("transformers")
    except metadata.PackageNotFoundError:
        return None
