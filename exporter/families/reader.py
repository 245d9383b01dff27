"""Reads a config.json key by key: each is used, harmless, not read by the reference, or a problem.

A family's reader asks for what it needs; ``finish`` then reports all problems in one error: wrong types and
values, and every key that the reference reads and nothing asked for. A key that the reference does not read
cannot change what it computes: it is listed (``config_keys`` says which are read). null counts as absent; the
readers ask for it (``in``) where the reference gives it a meaning.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from exporter.checkpoint import quantised
from exporter.errors import UnsupportedError, did_you_mean, raise_all, shown
from exporter.generation.attributes import ATTRIBUTES

T = TypeVar("T")

# What the reference's shared code reads without an effect on what a model computes: bookkeeping, training,
# outputs of the Python call, tasks other than generation; token ids, which are generation settings; the name
# of the weights.
HARMLESS = frozenset(
    """
    _attn_implementation _attn_implementation_internal _commit_hash _experts_implementation_internal
    _name_or_path _output_attentions architectures attention_dropout attn_implementation base_model_ep_plan
    base_model_fsdp_plan base_model_pp_plan base_model_tp_plan bos_token_id chunk_size_feed_forward dtype
    eos_token_id experts_implementation gradient_checkpointing id2label init_std initializer_factor
    initializer_range is_decoder label2id model_type name_or_path num_labels output_attentions
    output_cross_attentions output_hidden_states pad_token_id problem_type return_dict sep_token_id
    tie_last_hidden_states torch_dtype transformers_version transformers_weights use_cache
    """.split()  # noqa: SIM905
)

# Generation options that version 4 wrote into config.json; the generation settings are read from there.
GENERATION = frozenset(ATTRIBUTES) | {"force_bos_token_to_be_generated"}

# Keys that say what the weights are, whether the reference's config class reads them or not.
QUANTISED = {
    "quantization_config": "the weights are quantised",
    "quantization": "the weights are quantised by MLX; export the unquantised checkpoint, or undo it: "
    "mlx_lm.convert --hf-path DIR --dequantize --mlx-path OUT",
}
EXPLAINED = {"per_layer_config": "layers that differ by override are not supported"}
# Read by the reference only where the user trusts a checkpoint's code: else it loads its own class.
SET_ASIDE = frozenset({"auto_map"})

# Sizes beyond these are mistakes, and would build lists that no memory holds.
_MOST, _MOST_COUNTED = 2**31 - 1, 2**16
#: In keys of what a model has one by one, each with weights of its own.
_COUNTED = ("layer", "head", "expert", "altup_num_inputs")
_LARGEST = sys.float_info.max
# JSON has no infinity: the reference writes it as {"__float__": "Infinity"}.
_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


class Findings(NamedTuple):
    """Keys of a config that were passed over: ``allowed`` by the user, ``unread`` by the reference."""

    allowed: tuple[str, ...]
    unread: tuple[str, ...]


class ConfigReader:
    """Typed access to a config; remembers what was asked for and what was wrong."""

    def __init__(
        self,
        config: Mapping[str, Any],
        aliases: Mapping[str, str] | None = None,
        path: str = "",
        *,
        read: frozenset[str] = frozenset(),
        read_of_rope: frozenset[str] = frozenset(),
    ) -> None:
        """``aliases``: other names of keys, which win over them as the reference's ``attribute_map`` does.

        ``read`` and ``read_of_rope``: what the reference reads of a config and of its rotary parameters.
        """
        self._null = {key for key, value in config.items() if value is None}
        self._config = {key: _decoded(value) for key, value in config.items() if value is not None}
        for alias, key in (aliases or {}).items():
            if alias in self._config:
                self._config[key] = self._config.pop(alias)
        self._path = path
        self._read, self._read_of_rope = read, read_of_rope
        self._used: set[str] = set()
        self._problems: list[str] = []
        self._unread: list[str] = []
        self._sections: list[ConfigReader] = []

    def section(self, key: str) -> ConfigReader:
        """The reader of a nested object; null and an absent key count as an empty one."""
        return self._add(key, self.mapping(key), self._read)

    def inner(
        self,
        key: str,
        values: Mapping[str, Any],
        aliases: Mapping[str, str],
        read: frozenset[str],
        read_of_rope: frozenset[str],
    ) -> ConfigReader:
        """The reader of another model's config inside this one; arguments as of a reader of its own."""
        self.raw(key)
        found = ConfigReader(values, aliases, f"{self._path}{key}.", read=read, read_of_rope=read_of_rope)
        self._sections.append(found)
        return found

    def rope(self, name: str, parameters: Mapping[str, Any]) -> ConfigReader:
        """The reader of rotary parameters that were found under ``name``."""
        return self._add(name, parameters, self._read_of_rope)

    def _add(self, name: str, values: Mapping[str, Any], read: frozenset[str]) -> ConfigReader:
        section = ConfigReader(
            values, path=f"{self._path}{name}.", read=read, read_of_rope=self._read_of_rope
        )
        self._sections.append(section)
        return section

    def __contains__(self, key: str) -> bool:
        """Whether the key is there, even as null."""
        return key in self._config or key in self._null

    def has(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        return key in self._config

    def raw(self, key: str, default: Any = None) -> Any:
        """The value as it is."""
        self._used.add(key)
        return self._config.get(key, default)

    def mapping(self, key: str) -> dict[str, Any]:
        """A nested object as it is; {} for null and an absent key."""
        value = self.raw(key, {})
        if isinstance(value, dict):
            return value
        self.wrong(key, value, "must be an object")
        return {}

    def integer(self, key: str, default: int | None = None, minimum: int = 1) -> int:
        """An integer of at least ``minimum``; without a default the key must be there."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            self.wrong(key, value, f"must be an integer of at least {minimum}")
        elif value > (most := _most(key)):
            self.wrong(key, value, f"must be at most {most}")
        else:
            return value
        return minimum if default is None else default

    def optional_integer(self, key: str, default: int | None = None, minimum: int = 1) -> int | None:
        """As ``integer``; null or an absent key gives the default, which may be None."""
        return self.integer(key, minimum=minimum) if self.has(key) else self._absent(key, default)

    def nullable_integer(self, key: str, default: int | None, minimum: int = 1) -> int | None:
        """As ``integer``; null means none, and the default stands for an absent key alone."""
        return self.optional_integer(key, None if key in self else default, minimum)

    def number(self, key: str, default: float | None = None, *, positive: bool = False) -> float:
        """A finite int or float, above 0 where ``positive``; without a default the key must be there."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
            self.wrong(key, value, "must be a number")
        elif positive and value <= 0:
            self.wrong(key, value, "must be above 0")
        else:
            return float(value)
        return 1.0 if default is None else default

    def optional_number(
        self, key: str, default: float | None = None, *, positive: bool = False
    ) -> float | None:
        """As ``number``; null or an absent key gives the default, which may be None."""
        return self.number(key, positive=positive) if self.has(key) else self._absent(key, default)

    def nullable_number(self, key: str, default: float) -> float | None:
        """As ``number``; null means none, and the default stands for an absent key alone."""
        return self.optional_number(key, None if key in self else default)

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """A list of ``count`` numbers."""
        value = self.raw(key)
        if isinstance(value, list) and len(value) == count:
            parts = ConfigReader({str(index): part for index, part in enumerate(value)})
            found = tuple(parts.number(str(index)) for index in range(count))
            if not parts._problems:
                return found
        self.wrong(key, value, f"must be a list of {count} numbers")
        return (1.0,) * count

    def items(self, key: str, count: int) -> ConfigReader:
        """The reader of a list of ``count`` values, by their places: "0", "1" and so on."""
        value = self.raw(key)
        fits = isinstance(value, list) and len(value) == count and None not in value
        if not fits:
            self.wrong(key, value, f"must be a list of {count} values, one for each layer")
        values = {str(index): item for index, item in enumerate(value if fits else [])}
        return self._add(key, values, frozenset())

    def flag(self, key: str, default: bool, *, null: bool | None = None) -> bool:
        """true or false; ``null`` is what null means where that is not the default."""
        if null is not None and key in self._null:
            default = null
        value = self.raw(key, default)
        if not isinstance(value, bool):
            self.wrong(key, value, "must be true or false")
            return default
        return value

    def choice(self, key: str, choices: Mapping[str, T], default: str) -> T:
        """One of the named values."""
        value = self.raw(key, default)
        if not isinstance(value, str) or value not in choices:
            hint = did_you_mean(value, choices) if isinstance(value, str) else ""
            self.wrong(key, value, f"is not supported{hint}; known are {', '.join(sorted(choices))}")
            return choices[default]
        return choices[value]

    def choices(
        self, key: str, allowed: Iterable[Any], count: int, *, more: bool = False
    ) -> list[Any] | None:
        """A list of ``count`` (or ``more``) of the ``allowed`` values; None where it is absent or wrong."""
        value, names = self.raw(key), tuple(allowed)
        if value is None:
            return None
        fits = isinstance(value, list) and (len(value) == count or (more and len(value) > count))
        if fits and all(any(_same(item, name) for name in names) for item in value):
            return list(value)
        shown = " or ".join(map(repr, names))
        self.wrong(key, value, f"must hold {shown} for each of {count} layers")
        return None

    def expect(self, key: str, *allowed: Any, why: str) -> None:
        """A key that is supported with these values only (its absence counts as the first)."""
        value = self.raw(key, allowed[0])
        if not any(_same(value, one) for one in allowed):
            shown = " or ".join(repr(one) for one in allowed if one is not None)
            self.wrong(key, value, f"is not supported: {why} (allowed: {shown or 'null'})")

    def harmless(self, *keys: str) -> None:
        """Keys of this family that the reference reads, and that do not change what inference computes."""
        self._used.update(keys)

    def rest_is_harmless(self) -> None:
        """What the reference reads besides, it does not read here."""
        self._used |= self._read

    def unread(self, *keys: str) -> None:
        """Keys that the reference passes over here: they are listed."""
        self._unread += [self._path + key for key in keys]

    def problem(self, text: str) -> None:
        """Notes something that cannot be supported."""
        if (line := f"{self._path}{text}") not in self._problems:
            self._problems.append(line)

    def wrong(self, key: str, value: Any, text: str) -> None:
        """Notes a value that cannot be supported."""
        self.problem(f"{key}={shown(value)} {text}")

    def finish(self, ignore: Iterable[str]) -> Findings:
        """Raises UnsupportedError with every problem found; returns the keys that were passed over."""
        allowed: list[str] = []
        unread: list[str] = []
        problems = self._check(frozenset(ignore), allowed, unread)
        raise_all(UnsupportedError, "config.json cannot be reproduced exactly:", problems)
        return Findings(tuple(allowed), tuple(sorted(unread)))

    def _check(self, ignore: frozenset[str], allowed: list[str], unread: list[str]) -> list[str]:
        """Every problem, of the sections too; adds the keys that are passed over."""
        problems = list(self._problems)
        unread += self._unread
        for key, value in self._config.items():
            name = self._path + key
            if key in self._used | HARMLESS | GENERATION:
                continue
            if name in ignore:
                allowed.append(name)
            elif name == "quantization_config" and value:
                if why_not := quantised.problem(value):
                    problems.append(f"{name}={shown(value)}: {why_not}")
            elif key in QUANTISED and value:
                problems.append(f"{name}={shown(value)}: {QUANTISED[key]}; export the unquantised checkpoint")
            elif key in self._read and key not in SET_ASIDE:
                problems.append(_unused(name, key, value))
            else:
                unread.append(name)
        for section in self._sections:
            problems += section._check(ignore, allowed, unread)
        return problems

    def _absent(self, key: str, default: T) -> T:
        self._used.add(key)
        return default


def _most(key: str) -> int:
    counts = any(word in key for word in _COUNTED) and "vocab" not in key
    return _MOST_COUNTED if counts else _MOST


def _unused(name: str, key: str, value: Any) -> str:
    reason = EXPLAINED.get(key, "the reference reads this key, and what it does with it is not built")
    return f"{name}={shown(value)}: {reason}; --ignore-config-key {name} exports without regard to it"


def _same(value: Any, other: Any) -> bool:
    """Equality that tells true from 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _decoded(value: Any) -> Any:
    """The number that ``{"__float__": "Infinity"}`` stands for, in lists too; any other value as it is."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and value.keys() == {"__float__"} and isinstance(value["__float__"], str):
        return _FLOATS.get(value["__float__"], value)
    return value
