"""adapter_config.json of a LoRA adapter: which modules it changes, at which rank and scale.

Source: ``LoraConfig``, ``check_target_module_exists`` and ``get_pattern_key`` of PEFT. Every key is used,
without effect on merged weights, or refused by name; a key that PEFT does not know is refused too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.checkpoint.patterns import compiles
from exporter.errors import UnsupportedError, raise_all, shown

#: What only training reads, or other methods than merging.
_HARMLESS = frozenset(
    """
    auto_mapping base_model_name_or_path bias corda_config eva_config inference_mode loftq_config lora_dropout
    lora_ga_config megatron_core peft_type peft_version qalora_group_size revision runtime_config task_type
    """.split()  # noqa: SIM905
)
#: Variants that compute something else than a sum of products, or that no merging reproduces.
_REFUSED = {
    "alora_invocation_tokens": "an activated LoRA changes some tokens of a prompt only and cannot be merged",
    "arrow_config": "Arrow routes between adapters and cannot be merged",
    "ensure_weight_tying": "adapters of tied tables that are tied themselves are not built",
    "kasa_config": "KaSA changes the base weights when it is loaded",
    "layer_replication": "it stacks copies of the base model's layers",
    "megatron_config": "it is an adapter of Megatron's layers",
    "monteclora_config": "MonteCLoRA is not built",
    "target_parameters": "LoRA of parameters that are no module's weight is not built",
    "use_bdlora": "block-diagonal LoRA is not built",
    "use_qalora": "QA-LoRA pools its input and is not built",
    "velora_config": "VeLoRA is not built",
}
_CONVERT = (
    "changes the base weights when PEFT loads it; save the adapter as a plain LoRA: save_pretrained(OUT, "
    "path_initial_model_for_weight_conversion=...)"
)
#: Initialisations that change the base weights, by how their names begin.
_CHANGES_BASE = {
    "pissa": _CONVERT,
    "olora": _CONVERT,
    "corda": _CONVERT,
    "lora_ga": _CONVERT,
    "loftq": "quantises the base weights when PEFT loads it; save the quantised base, and the adapter with "
    "init_lora_weights=True",
}
_ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class LoraConfig:
    """What merging needs of a configuration.

    Attributes:
      targets: a list of names (whole, or the end of a name after a dot), a regular expression, or
        "all-linear".
      layers, layers_pattern: which layers of a list of names count; None for all.
      whole: ends of names of modules that are saved whole (``modules_to_save``).
      tokens: rows of a table that are trained, by the end of its module's name ("" for the input's table).
    """

    rank: int
    alpha: float
    rank_stabilised: bool
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    targets: tuple[str, ...] | str
    excluded: tuple[str, ...] | str
    layers: tuple[int, ...] | None
    layers_pattern: tuple[str, ...]
    whole: tuple[str, ...]
    tokens: Mapping[str, tuple[int, ...]]
    dora: bool
    bias: bool

    def rank_of(self, module: str) -> int:
        """The rank of a module's two matrices."""
        return self.ranks.get(_pattern(self.ranks, module), self.rank)

    def scale_of(self, module: str) -> float:
        """What their product is multiplied by."""
        rank = self.rank_of(module)
        alpha = self.alphas.get(_pattern(self.alphas, module), self.alpha)
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)

    @property
    def lists_modules(self) -> bool:
        """Whether the targets say by themselves which modules of a base there are."""
        return self.targets != _ALL_LINEAR

    def changes(self, module: str) -> bool:
        """Whether PEFT gives the module a LoRA, should it be one that can have any."""
        if _named(module, self.excluded) or self.saves(module):
            return False
        if self.targets == _ALL_LINEAR:
            return True
        if not _named(module, self.targets):
            return False
        return isinstance(self.targets, str) or self.layers is None or self._layer(module) in self.layers

    def saves(self, module: str) -> bool:
        """Whether the module is saved whole."""
        return any(re.match(rf"(^|.*\.){name}($|\..*)", module) for name in self.whole)

    def rows_of(self, module: str) -> tuple[int, ...] | None:
        """The rows of a table that are trained."""
        found = [rows for name, rows in self.tokens.items() if _named(module, (name,)) or not name]
        return found[0] if found else None

    def _layer(self, module: str) -> int | None:
        for pattern in self.layers_pattern or (None,):
            expression = r".*?\.[^.]*\.(\d+)\." if pattern is None else rf"(?:^|.*?\.){pattern}\.(\d+)\."
            if found := re.match(expression, module):
                return int(found[1])
        return None


def _named(module: str, names: Iterable[str] | str) -> bool:
    """As PEFT reads a list of names (whole, or after a dot), or a regular expression."""
    if isinstance(names, str):
        return bool(names) and re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


def _pattern(patterns: Iterable[str], module: str) -> str:
    return next((key for key in patterns if re.match(rf"(.*\.)?({key})$", module)), module)


def read_lora(path: Path, values: Mapping[str, Any]) -> LoraConfig:
    """The configuration of a LoRA adapter.

    Raises:
      UnsupportedError: another method of PEFT, or options that merging cannot reproduce; each by its name.
    """
    kind = values.get("peft_type")
    if kind != "LORA":
        raise UnsupportedError(
            f"{path}: peft_type={kind!r} is not supported: PEFT's LORA alone is merged; where the method "
            "can be merged, PEFT itself does: "
            "AutoPeftModelForCausalLM.from_pretrained(DIR).merge_and_unload().save_pretrained(OUT)"
        )
    reader = _Reader(values)
    config = LoraConfig(
        rank=int(reader.number("r", 8, whole=True)),
        alpha=reader.number("lora_alpha", 8),
        rank_stabilised=reader.flag("use_rslora"),
        ranks={key: int(value) for key, value in reader.numbers("rank_pattern", whole=True).items()},
        alphas=reader.numbers("alpha_pattern"),
        targets=reader.targets(),
        excluded=reader.names("exclude_modules"),
        layers=reader.layers(),
        layers_pattern=reader.list_of("layers_pattern"),
        whole=reader.list_of("modules_to_save"),
        tokens=reader.tokens(),
        dora=reader.flag("use_dora"),
        bias=reader.flag("lora_bias"),
    )
    reader.flag(
        "fan_in_fan_out"
    )  # PEFT corrects it by the module's class, and so does the base's layout here
    reader.initialisation()
    reader.finish(path)
    return config


class _Reader:
    """Typed access; collects every problem."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values, self._used, self._problems = values, set(_HARMLESS), list[str]()

    def _raw(self, key: str) -> Any:
        self._used.add(key)
        return self._values.get(key)

    def _wrong(self, key: str, what: str) -> None:
        self._problems.append(f"{key}={shown(self._values.get(key))} {what}")

    def number(self, key: str, default: float, *, whole: bool = False) -> float:
        value = self._raw(key)
        value = default if value is None else value
        if _is_number(value, whole=whole) and (value > 0 or not whole):
            return value  # type: ignore[no-any-return]
        self._wrong(key, f"must be {'an integer above 0' if whole else 'a number'}")
        return default

    def numbers(self, key: str, *, whole: bool = False) -> dict[str, float]:
        value = self._raw(key) or {}
        fits = isinstance(value, dict) and all(
            _is_number(number, whole=whole) and (number > 0 or not whole) for number in value.values()
        )
        if fits and all(compiles(rf"(.*\.)?({pattern})$") for pattern in value):
            return value  # type: ignore[no-any-return]
        self._wrong(key, "must map regular expressions to " + ("integers above 0" if whole else "numbers"))
        return {}

    def flag(self, key: str) -> bool:
        value = self._raw(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._wrong(key, "must be true or false")
        return False

    def list_of(self, key: str) -> tuple[str, ...]:
        """A list of regular expressions, or one."""
        value = self._raw(key) or []
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list) and all(isinstance(item, str) and compiles(item) for item in value):
            return tuple(value)
        self._wrong(key, "must be a list of module names")
        return ()

    def names(self, key: str) -> tuple[str, ...] | str:
        """A list of names, or one regular expression."""
        value = self._raw(key) or []
        if isinstance(value, str) and compiles(value):
            return value
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self._wrong(key, "must be a list of module names, or a regular expression")
        return ()

    def targets(self) -> tuple[str, ...] | str:
        if self._raw("target_modules") is None:
            self._wrong("target_modules", "must say which modules are changed")
        found = self.names("target_modules")
        return _ALL_LINEAR if isinstance(found, str) and found.lower() == _ALL_LINEAR else found

    def layers(self) -> tuple[int, ...] | None:
        value = self._raw("layers_to_transform")
        value = [value] if _is_number(value, whole=True) else value
        if value is None or value == []:
            return None
        if isinstance(value, list) and all(_is_number(item, whole=True) for item in value):
            return tuple(value)
        self._wrong("layers_to_transform", "must be a list of layers' numbers")
        return None

    def tokens(self) -> dict[str, tuple[int, ...]]:
        value = self._raw("trainable_token_indices") or {}
        value = {"": value} if isinstance(value, list) else value
        if isinstance(value, dict) and all(
            isinstance(rows, list) and all(_is_number(row, whole=True) and row >= 0 for row in rows)
            for rows in value.values()
        ):
            return {str(name): tuple(rows) for name, rows in value.items()}
        self._wrong("trainable_token_indices", "must hold token ids")
        return {}

    def initialisation(self) -> None:
        value = self._raw("init_lora_weights")
        if isinstance(value, str):
            for name, why in _CHANGES_BASE.items():
                if value.lower().startswith(name):
                    self._wrong("init_lora_weights", f"is not supported: it {why}")

    def finish(self, path: Path) -> None:
        for key, value in self._values.items():
            if key in _REFUSED and value:
                self._wrong(key, f"is not supported: {_REFUSED[key]}")
            elif key not in self._used and key not in _REFUSED and value:
                self._wrong(key, "is not supported: what PEFT would do with it is not built")
        raise_all(UnsupportedError, f"{path} cannot be merged exactly:", self._problems)


def _is_number(value: Any, *, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool)
