"""How it is written down where an architecture of KerasHub keeps its weights, by the reference's names.

A variable is named by its path below ``layers/`` with ``vars`` left out: ``rms_normalization/0`` is the first
variable of that layer. Source: KerasHub's layers, and its converters of ``utils/transformers``, which go the
other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.checkpoint.keras_hub.reshaping import FLAT, KERNEL, SAME, Way

#: A tensor's variables, separated by blanks, and how it is made of them.
Entry = tuple[str, Way]
Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class Layers:
    """Layers of one class.

    Attributes:
      prefix: the reference's, with ``{i}``.
      group: of the first layer of the class; the others have ``_1``, ``_2`` ... behind it.
      variables: each layer's tensors, below ``prefix`` and ``group``.
      count: the configuration's key of their number.
      after: of how many others of the class stand before them; None where they are the first.
    """

    prefix: str
    group: str
    variables: Entries
    count: str = "num_layers"
    after: str | None = None


@dataclass(frozen=True)
class Table:
    """Every weight of an architecture; of those that are not stored, the ones needed are missed later."""

    model: Entries
    layers: tuple[Layers, ...]


def dense(name: str, stored: str, way: Way = KERNEL, bias: Way = FLAT) -> dict[str, Entry]:
    """A kernel, and its bias where there is one."""
    paths = stored.split()
    both = {"weight": (way, 0), "bias": (bias, 1)}
    return {
        f"{name}.{part}": (" ".join(f"{path}/{index}" for path in paths), made)
        for part, (made, index) in both.items()
    }


def norm(name: str, stored: str) -> dict[str, Entry]:
    """A scale, and its bias where there is one."""
    return dense(name, stored, SAME, SAME)


def heads(prefix: str, stored: str, query: str = "query_dense", way: Way = KERNEL) -> dict[str, Entry]:
    """Query, key and value as matrices of their own."""
    parts = ("query", "key", "value")
    stored_at = zip(parts, joined(stored, query).split(), strict=True)
    return {
        key: entry
        for part, path in stored_at
        for key, entry in dense(f"{prefix}.{part[0]}_proj", path, way).items()
    }


def embeddings(tokens: str = "model.embed_tokens", head: str = "lm_head") -> dict[str, Entry]:
    """The token table, and the head where it has weights of its own."""
    return {
        f"{tokens}.weight": ("reversible_embedding/0", SAME),
        f"{head}.weight": ("reversible_embedding/1", KERNEL),
    }


def joined(stored: str, query: str = "query_dense") -> str:
    """The variables' groups of query, key and value."""
    return " ".join(f"{stored}/{query.replace('query', part)}" for part in ("query", "key", "value"))
