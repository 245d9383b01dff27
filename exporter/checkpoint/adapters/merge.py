"""The tensors of a base with an adapter merged into them: each computed when it is read.

Source: ``merge`` of PEFT's LoRA layers and ``DoraLinearVariant``. As there, half-precision adapters count as
float32, and a merged tensor is the sum in float32; whoever reads it rounds it once, to the type that it is
kept in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exporter.checkpoint.adapters.adapter import Adapter, Change
from exporter.checkpoint.tensor import LazyTensor, StoredTensor
from exporter.errors import CheckpointError, did_you_mean, raise_all

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Base:
    """The tensors that an adapter is merged into, by the reference's names.

    Attributes:
      name_of: from a name as the adapter's model has it to the reference's.
      used: names of tensors that the model has; others may be stored as well.
      in_out: whether the kernel of that name is stored [in, out].
      tied: names of tables that are one and the same unless they are stored apart; perhaps none of them is.
    """

    tensors: Mapping[str, StoredTensor]
    name_of: Callable[[str], str]
    used: Collection[str]
    in_out: Callable[[str], bool]
    tied: Collection[str] = ()


def merged(adapter: Adapter, base: Base) -> dict[str, StoredTensor]:
    """The base's tensors, with those in place that the adapter changes.

    Of tied tables each gets what PEFT's model computes with: a LoRA on one of them, or one that is saved
    whole, leaves the others as they were.

    Raises:
      CheckpointError: modules that the base does not have or that the adapter lacks, and wrong shapes.
    """
    changes = {
        base.name_of(f"{module}.weight"): (module, change) for module, change in adapter.changes.items()
    }
    tensors = dict(base.tensors)
    if set(changes) & set(base.tied):
        stored = next((tensors[name] for name in base.tied if name in tensors), None)
        tensors |= {name: stored for name in base.tied if stored is not None and name not in tensors}
    apart = dict(tensors)
    problems = _missing(adapter, changes, {name: tensors[name] for name in tensors if name in base.used})
    # What is replaced comes first: of tied tables, one that is replaced in place may have a LoRA on another.
    for name, (module, change) in sorted(changes.items(), key=lambda item: not item[1][1].replaces):
        found = _Module(adapter, module, change, replace(base, tensors=apart), name, tensors)
        problems += found.problems()
        if not problems:
            tensors |= found.tensors()
    raise_all(CheckpointError, f"the adapter {adapter.source} does not fit its base:", problems)
    return tensors


def _missing(adapter: Adapter, changed: Collection[str], tensors: Mapping[str, StoredTensor]) -> list[str]:
    """Modules that the configuration names, of which the adapter has nothing; PEFT lets them be."""
    if not adapter.config.lists_modules:
        return []
    return [
        f"{name.removesuffix('.weight')}: missing, though target_modules names it"
        for name, tensor in tensors.items()
        if name.endswith(".weight") and len(tensor.shape) == 2 and name not in changed
        if adapter.config.changes(name.removesuffix(".weight"))
    ]


@dataclass(frozen=True)
class _Module:
    """One module of the base, and what becomes of its tensors.

    Attributes:
      base: as it was, its tied tables apart.
      weight: the name of its kernel or table there.
      current: the tensors so far.
    """

    adapter: Adapter
    module: str
    change: Change
    base: Base
    weight: str
    current: Mapping[str, StoredTensor]

    def problems(self) -> list[str]:
        """What does not fit."""
        known, words = self.current, list(self.change.whole)
        words += ["weight"] * bool(self.change.product or self.change.rows)
        words += ["bias"] * (self.change.b_bias is not None)
        absent = [word for word in words if self._name(word) not in known]
        if absent:
            hint = did_you_mean(self._name(absent[0]), known)
            return [f"{self.module}.{word}: the base has no such tensor{hint}" for word in absent]
        return [*self._wrong_whole(), *self._wrong_product()]

    def _name(self, word: str) -> str:
        return self.weight if word == "weight" else self.base.name_of(f"{self.module}.{word}")

    def _wrong_whole(self) -> list[str]:
        return [
            f"{self.module}.{word}: {list(tensor.shape)}, the base has {list(stored.shape)}"
            + (_RESIZED if tensor.shape[1:] == stored.shape[1:] else "")
            for word, tensor in self.change.whole.items()
            if tensor.shape != (stored := self.current[self._name(word)]).shape
        ]

    def _wrong_product(self) -> list[str]:
        problems = []
        shape = self.current[self.weight].shape if self.weight in self.current else ()
        if self.change.product:
            first, second = self.change.product
            ours = second.shape[0], first.shape[1]
            if shape != (ours[::-1] if self._transposed else ours):
                problems.append(f"{self.module}: a change of {list(ours)}, the base has {list(shape)}")
            outputs = ours[:1]
            for part in filter(None, (self.change.magnitude, self.change.b_bias)):
                if part.shape != outputs:
                    problems.append(f"{part.name}: {list(part.shape)}, must be {list(outputs)}")
        rows = self.adapter.config.rows_of(self.module) or ()
        if self.change.rows and (
            self.change.rows.shape[1:] != shape[1:] or max(rows, default=-1) >= shape[0]
        ):
            problems.append(f"{self.change.rows.name}: does not fit a table of {list(shape)}")
        return problems

    @property
    def _transposed(self) -> bool:
        """Whether the base's array is the product's transpose."""
        return self.change.embedding_a is not None or self.base.in_out(self.weight)

    def tensors(self) -> dict[str, StoredTensor]:
        """The changed tensors by the base's names."""
        changed = {self._name(word): tensor for word, tensor in self.change.whole.items()}
        changed = {name: replace(tensor, name=name) for name, tensor in changed.items()}
        for name in list(changed):
            if not self.adapter.config.saves(self.module):
                changed |= dict.fromkeys(self._tied(name), changed[name])
        if self.change.rows:
            changed |= dict.fromkeys(
                self._tied(self.weight), self._lazy(changed, self.weight, self._with_rows)
            )
        if self.change.product:
            changed[self.weight] = self._lazy(changed, self.weight, self._with_product)
        if self.change.b_bias:
            bias = self._name("bias")
            changed[bias] = self._lazy(changed, bias, self._with_bias)
        return changed

    def _tied(self, name: str) -> list[str]:
        """The tables that an in-place change of one of them changes."""
        tied, tensors = self.base.tied, self.base.tensors
        if name not in tied:
            return [name]
        return [other for other in tied if other == name or _equal(tensors[other], tensors[name])]

    def _lazy(
        self, changed: Mapping[str, StoredTensor], name: str, change: Callable[[Floats], Floats]
    ) -> StoredTensor:
        stored = changed.get(name, self.current[name])
        return LazyTensor(
            name, stored.dtype, stored.shape, stored.path, stored.nbytes, lambda: change(_wide(stored))
        )

    def _with_rows(self, table: Floats) -> Floats:
        assert self.change.rows
        result = table.copy()
        result[list(self.adapter.config.rows_of(self.module) or ())] = _wide(self.change.rows)
        return result

    def _with_bias(self, bias: Floats) -> Floats:
        assert self.change.b_bias
        change = _wide(self.change.b_bias)
        change *= np.float32(self.adapter.config.scale_of(self.module))
        return change + bias

    def _with_product(self, weight: Floats) -> Floats:
        assert self.change.product
        first, second = map(_wide, self.change.product)
        result = second @ first
        result *= np.float32(self.adapter.config.scale_of(self.module))
        if self._transposed:
            result = result.T
        result += weight
        if self.change.magnitude:  # "Weight-Decomposed Low-Rank Adaptation" (Liu et al. 2024), equation 5
            norms = np.linalg.norm(result, axis=0 if self._transposed else 1, keepdims=True)
            result *= _wide(self.change.magnitude).reshape(norms.shape) / norms
        return result


_RESIZED = (
    "; the table was resized before training: load the base, resize_token_embeddings, load the adapter with "
    "PEFT, merge_and_unload().save_pretrained(OUT), and export OUT"
)


def _equal(one: StoredTensor, other: StoredTensor) -> bool:
    return one is other or (one.shape == other.shape and np.array_equal(one.read(), other.read()))


def _wide(tensor: StoredTensor) -> Floats:
    return tensor.read().astype(np.float32)
