"""A LoRA adapter on disk: its configuration, and its tensors by the module that each of them changes.

Source: ``get_peft_model_state_dict`` of PEFT, which names tensors ``base_model.model.MODULE.KIND``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from exporter.checkpoint.adapters.config import LoraConfig, read_lora
from exporter.checkpoint.checkpoint import SMALL_SUFFIXES, read_json
from exporter.checkpoint.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_weights
from exporter.checkpoint.safetensors_file import read_header
from exporter.checkpoint.tensor import StoredTensor
from exporter.errors import CheckpointError, raise_all

_PREFIX = "base_model.model."
#: Ends of stored names, and the field of ``Change`` that they are; anything else is a whole tensor.
_KINDS = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_B.bias": "b_bias",
    ".lora_embedding_A": "embedding_a",
    ".lora_embedding_B": "embedding_b",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".token_adapter.trainable_tokens_delta": "rows",
}


@dataclass
class Change:
    """What an adapter does to one module; None where it has no such tensor.

    Attributes:
      a, b: [rank, in] and [out, rank]; ``b_bias`` is [out].
      embedding_a, embedding_b: of a table: [rank, rows] and [width, rank].
      magnitude: DoRA's, a number for each output (each column of a table).
      rows: trained rows of a table, in the order of ``trainable_token_indices``.
      whole: tensors that replace the base's, by their last word.
    """

    a: StoredTensor | None = None
    b: StoredTensor | None = None
    b_bias: StoredTensor | None = None
    embedding_a: StoredTensor | None = None
    embedding_b: StoredTensor | None = None
    magnitude: StoredTensor | None = None
    rows: StoredTensor | None = None
    whole: dict[str, StoredTensor] = field(default_factory=dict)

    @property
    def replaces(self) -> bool:
        """Whether it sets numbers, beside what it adds to them."""
        return bool(self.whole) or self.rows is not None

    @property
    def product(self) -> tuple[StoredTensor, StoredTensor] | None:
        """The two matrices that are multiplied, of a kernel or of a table."""
        first, second = self.a or self.embedding_a, self.b or self.embedding_b
        return (first, second) if first and second else None


class Adapter:
    """A directory that PEFT saved a LoRA adapter to.

    Attributes:
      path: the directory.
      source: what it was asked for as; ``revision`` its commit of a hub id.
      base, base_revision: the checkpoint that it was trained on, as its configuration says.

    Raises:
      CheckpointError: files that are not there or damaged, or tensors that do not fit the configuration.
      UnsupportedError: another method of PEFT, or options that merging cannot reproduce.
    """

    def __init__(self, path: Path, source: str = "", revision: str | None = None) -> None:
        self.path, self.source, self.revision = path, source or str(path), revision
        if not path.is_dir():
            raise CheckpointError(f"{path} is no directory of an adapter")
        adapter_weights([file.name for file in path.iterdir() if file.is_file()], str(path))
        values = read_json(path / ADAPTER_CONFIG)
        self.config: LoraConfig = read_lora(path / ADAPTER_CONFIG, values)
        self.base, self.base_revision = _text(values, "base_model_name_or_path"), _text(values, "revision")

    @property
    def has_tokenizer(self) -> bool:
        """Whether a tokenizer was saved beside it."""
        return (self.path / "tokenizer_config.json").is_file()

    @property
    def source_files(self) -> list[str]:
        """Names of the files that are read of it."""
        beside = [file.name for file in self.path.iterdir() if file.suffix in SMALL_SUFFIXES]
        return sorted({ADAPTER_CONFIG, ADAPTER_WEIGHTS, *(beside if self.has_tokenizer else ())})

    @cached_property
    def changes(self) -> Mapping[str, Change]:
        """By module, as PEFT names it; every stored tensor is part of one."""
        file = self.path / ADAPTER_WEIGHTS
        changes: dict[str, Change] = {}
        problems = []
        for name, tensor in read_header(file).items():
            if not name.startswith(_PREFIX) or not tensor.floating:
                problems.append(f"{name} {tensor.dtype}{list(tensor.shape)} is no tensor of a LoRA adapter")
                continue
            _add(changes, name.removeprefix(_PREFIX), tensor)
        for module, change in changes.items():
            problems += self._misfits(module, change)
        raise_all(CheckpointError, f"{file} does not fit its {ADAPTER_CONFIG}:", problems)
        return changes

    def _misfits(self, module: str, change: Change) -> list[str]:
        """What a module's tensors lack, and what the configuration does not ask for."""
        problems = []
        parts = [change.a, change.b, change.embedding_a, change.embedding_b]
        if any(parts):
            problems += self._product_misfits(module, change)
        elif change.magnitude or change.b_bias:
            problems.append(f"{module}: missing: lora_A and lora_B")
        rows = self.config.rows_of(module)
        if change.rows and (rows is None or change.rows.shape[:1] != (len(rows),)):
            problems.append(
                f"{module}: {list(change.rows.shape)} trained rows, trainable_token_indices names "
                f"{0 if rows is None else len(rows)}"
            )
        return problems

    def _product_misfits(self, module: str, change: Change) -> list[str]:
        problems, rank = [], self.config.rank_of(module)
        if change.product is None or (change.a is None) != (change.b is None):
            return [f"{module}: missing: one of lora_A and lora_B"]
        first, second = change.product
        if (
            len(first.shape) != 2
            or len(second.shape) != 2
            or (first.shape[0], second.shape[1]) != (rank,) * 2
        ):
            problems.append(
                f"{module}: lora_A {list(first.shape)} and lora_B {list(second.shape)} are not of rank {rank}"
            )
        if not self.config.changes(module):
            problems.append(f"{module}: the configuration gives it no LoRA")
        if self.config.dora != (change.magnitude is not None):
            problems.append(
                f"{module}: {'missing: lora_magnitude_vector' if self.config.dora else 'use_dora is false'}"
            )
        if change.b_bias is not None and not self.config.bias:
            problems.append(f"{module}: lora_B.bias, but lora_bias is false")
        if self.config.bias and change.a is not None and change.b_bias is None:
            problems.append(f"{module}: missing: lora_B.bias")
        return problems

    def describe(self) -> str:
        """A line for whoever reads the export."""
        modules = sum(1 for change in self.changes.values() if change.product)
        whole = sum(len(change.whole) for change in self.changes.values())
        size = sum(math.prod(t.shape) for change in self.changes.values() for t in _tensors(change))
        kind = "DoRA" if self.config.dora else "LoRA"
        also = f", {whole} whole tensors" if whole else ""
        return f"merged: the {kind} adapter {self.source} ({modules} modules{also}; {size:,} numbers)"


def _tensors(change: Change) -> list[StoredTensor]:
    parts = [getattr(change, kind) for kind in dict.fromkeys(_KINDS.values())]
    return [tensor for tensor in (*parts, *change.whole.values()) if tensor is not None]


def _add(changes: dict[str, Change], name: str, tensor: StoredTensor) -> None:
    for end, kind in _KINDS.items():
        if name.endswith(end):
            setattr(changes.setdefault(name.removesuffix(end), Change()), kind, tensor)
            return
    module, _, word = name.replace(".base_layer.", ".").rpartition(".")
    changes.setdefault(module, Change()).whole[word] = tensor


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise CheckpointError(f"{ADAPTER_CONFIG}: {key}={value!r} must be a text")
    return value or None
