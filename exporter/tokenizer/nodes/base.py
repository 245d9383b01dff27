"""What the nodes of several sections share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Behavior = Literal["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PrependScheme = Literal["first", "never", "always"]


class Node(BaseModel):
    """Base of every node: frozen. What the library does not read is kept apart (``ignored_fields``)."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ClosedNode(Node):
    """A node in which the library itself refuses a field that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pattern(ClosedNode):
    """A ``{"String": ...}`` or ``{"Regex": ...}`` pattern; exactly one of the two is set."""

    string: str | None = Field(default=None, alias="String")
    regex: str | None = Field(default=None, alias="Regex")

    @model_validator(mode="after")
    def _one(self) -> Pattern:
        if (self.string is None) == (self.regex is None):
            raise ValueError("a pattern is either a String or a Regex")
        return self


class Metaspace(Node):
    """Pre-tokenizer and decoder. ``add_prefix_space`` and ``str_rep`` are the spelling of older files."""

    type: Literal["Metaspace"]
    replacement: str = "\u2581"
    prepend_scheme: PrependScheme = "always"
    split: bool = True

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = {key: value for key, value in data.items() if key != "str_rep"}
        if data.pop("add_prefix_space", None) is False:
            if data.get("prepend_scheme", "never") != "never":
                raise ValueError("add_prefix_space=false contradicts prepend_scheme")
            data["prepend_scheme"] = "never"
        return data
