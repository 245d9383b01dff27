"""The chat template of a checkpoint directory: which file it stands in, and the variables beside it.

Source: ``PreTrainedTokenizerBase._from_pretrained``, ``get_chat_template`` and ``special_tokens_map`` of
transformers 5: files with templates come before tokenizer_config.json; of several the one named ``default``
counts, and ``tool_use`` where tools are given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.chat.template import ChatTemplate
from exporter.errors import CheckpointError, shown

FILE, FOLDER, CONFIG = "chat_template.jinja", "additional_chat_templates", "tokenizer_config.json"
#: The special tokens that templates get, each as a variable.
TOKENS = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


def read_chat_template(
    directory: Path, *, special_tokens: Mapping[str, str] | None = None, **variables: Any
) -> ChatTemplate | None:
    """The template of a checkpoint directory; None where it has none.

    Args:
      special_tokens: ``bos_token`` and its kin, by whoever knows the tokenizer (its class may have defaults);
        None: those that the configuration files name.
      variables: further ones of the template, such as ``enable_thinking``; they come before special tokens.

    Raises:
      CheckpointError: a file that cannot be read, several templates without one named "default", or no Jinja.
    """
    config = _object(directory / CONFIG)
    templates = _files(directory) or _listed(config.get("chat_template"), directory / CONFIG)
    if not templates:
        return None
    if "default" not in templates:
        raise CheckpointError(
            f"{directory}: of its chat templates ({', '.join(sorted(templates))}) none is named 'default'"
        )
    tokens = _special_tokens(directory, config) if special_tokens is None else dict(special_tokens)
    return ChatTemplate(
        templates["default"], variables=tokens | variables, tool_use=templates.get("tool_use")
    )


def _files(directory: Path) -> dict[str, str]:
    """Templates in files of their own, by name."""
    paths = {path.stem: path for path in sorted((directory / FOLDER).glob("*.jinja"))}
    if (directory / FILE).is_file():
        paths = {"default": directory / FILE} | paths
    return {name: _read(path) for name, path in paths.items()}


def _listed(given: Any, path: Path) -> dict[str, str]:
    """Those of tokenizer_config.json: one, or a list with names."""
    if given is None:
        return {}
    if isinstance(given, str):
        return {"default": given}
    try:
        found = {entry["name"]: entry["template"] for entry in given}
    except (TypeError, KeyError):
        found = {}
    if not found or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise CheckpointError(
            f"{path}: chat_template={shown(given)} must be a text, or a list of objects with 'name' and "
            "'template'"
        )
    return found


def _special_tokens(directory: Path, config: dict[str, Any]) -> dict[str, str]:
    """Of tokenizer_config.json; where that lists no tokens by id, special_tokens_map.json comes before it."""
    named = config
    if "added_tokens_decoder" not in config:
        named = config | _object(directory / "special_tokens_map.json")
    tokens = {name: _content(named.get(name)) for name in TOKENS}
    return {name: content for name, content in tokens.items() if content is not None}


def _content(token: Any) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(_read(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object, got {shown(value)}")
    return value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
