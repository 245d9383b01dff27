"""The whole file, and readable errors for what it holds that is not understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError, field_validator

from exporter.errors import CheckpointError, TokenizerUnsupportedError, did_you_mean, shown
from exporter.tokenizer.nodes.base import ClosedNode, Node
from exporter.tokenizer.nodes.decoders import Decoder
from exporter.tokenizer.nodes.models import Model
from exporter.tokenizer.nodes.normalizers import Normalizer
from exporter.tokenizer.nodes.post_processors import PostProcessor
from exporter.tokenizer.nodes.pre_tokenizers import PreTokenizer


class AddedToken(Node):
    """A token that is cut out of the text before the model sees it."""

    id: int
    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False


class TokenizerFile(ClosedNode):
    """A whole tokenizer.json."""

    version: str | None = None
    truncation: Any = None
    padding: Any = None
    added_tokens: tuple[AddedToken, ...] = ()
    normalizer: Normalizer | None = None
    pre_tokenizer: PreTokenizer | None = None
    post_processor: PostProcessor | None = None
    decoder: Decoder | None = None
    model: Model

    @field_validator("model", mode="before")
    @classmethod
    def _untyped_model(cls, model: Any) -> Any:
        """Files of the library before 0.11 name no model type; the fields tell it, as there."""
        if not isinstance(model, dict) or "type" in model:
            return model
        if "merges" in model:
            kind = "BPE"
        elif "max_input_chars_per_word" in model:
            kind = "WordPiece"
        else:
            kind = "Unigram" if isinstance(model.get("vocab"), list) else "WordLevel"
        return {"type": kind, **model}


def ignored_fields(node: Node, place: str = "") -> tuple[str, ...]:
    """The fields of a file, or a node, that the library does not read: ``post_processor.trim_offsets``.

    Members of a list or table are not told apart, so that a thousand added tokens give one name.
    """
    before = f"{place}." if place else ""
    found = [f"{before}{name}" for name in node.model_extra or {}]
    for name, field in type(node).model_fields.items():
        value = getattr(node, name)
        inside = f"{before}{field.alias or name}"
        if isinstance(value, Node):
            found += ignored_fields(value, inside)
        elif isinstance(value, dict | tuple):
            for child in value.values() if isinstance(value, dict) else value:
                if not isinstance(child, Node):
                    break  # a vocabulary, or merges
                found += ignored_fields(child, f"{inside}[]")
    return tuple(dict.fromkeys(found))


def parse_tokenizer(data: dict[str, Any]) -> TokenizerFile:
    """The typed form of a parsed tokenizer.json.

    Raises:
      TokenizerUnsupportedError: an unknown node, a value of the wrong type, or an unknown field where the
        library refuses one too; the message and ``path`` name its place.
    """
    try:
        return TokenizerFile.model_validate(data)
    except ValidationError as error:
        raise _readable(error) from None


def read_tokenizer(path: Path) -> TokenizerFile:
    """Reads and parses a tokenizer.json; CheckpointError where it cannot be read as JSON."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable JSON file: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return parse_tokenizer(data)


def _readable(error: ValidationError) -> TokenizerUnsupportedError:
    """The first problem of a failed validation, with its place spelled as in the file."""
    problem = error.errors(include_url=False, include_input=True)[0]
    path = _spell(problem["loc"])
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        known = [name.strip().strip("'") for name in str(context["expected_tags"]).split(",")]
        tag = str(context["tag"])
        reason = f"unknown node type {tag!r}{did_you_mean(tag, known)}; known: {', '.join(known)}"
    elif problem["type"] == "extra_forbidden":
        reason = f"unknown field (value {shown(problem['input'])})"
    else:
        reason = f"{problem['msg']} (value {shown(problem['input'])})"
    return TokenizerUnsupportedError(path, reason)


def _spell(location: tuple[int | str, ...]) -> str:
    """``("pre_tokenizer", "Sequence", "pretokenizers", 1)`` -> ``pre_tokenizer.pretokenizers[1]``.

    pydantic puts the tag of each union on the way into the location; every tag is CamelCase, no field is.
    """
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in _TAGS:
            path += f".{part}" if path else part
    return path


def _tags() -> frozenset[str]:
    """Every node type that a file may name."""
    return frozenset(
        str(node.model_fields["type"].annotation.__args__[0])  # type: ignore[union-attr]
        for node in Node.__subclasses__()
        if "type" in node.model_fields
    )


_TAGS = _tags()
