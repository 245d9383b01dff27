"""Odd values for every key that a reader looks at: an architecture, or an error that names the key."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest

from exporter.errors import UnsupportedError
from exporter.families import read_spec
from exporter.families.reader import ConfigReader
from tests.encoder_decoder.cases import FAMILIES as ENCODER_DECODER
from tests.families.case import FamilyCases
from tests.families.cases import BY_TYPE
from tests.families.cases import FAMILIES as DECODER_ONLY

FAMILIES = (*DECODER_ONLY, *ENCODER_DECODER)

NUMBERS: list[Any] = [-1, 0, 1, 3, 10**9, 10**400, 0.5, -2.5, 1e308, 1e-308, math.nan, math.inf]
OTHERS: list[Any] = [
    *("", "x", "3", "linear", True, False, None),
    *([], [1], ["x"], [None], [[1], {}], [["global"], 2]),
    *({}, {"a": 1}, {"rope_type": "yarn"}, {"full_attention": 3}, {"a": {"b": [None]}}),
]

ROPES: list[dict[str, Any]] = [
    {"rope_type": "linear", "factor": 2.0},
    {"rope_type": "dynamic", "factor": 2.0},
    {"rope_type": "yarn", "factor": 2.0, "mscale": 1.0, "mscale_all_dim": 0.5, "truncate": False},
    {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4},
    {"type": "default", "rope_theta": 10, "original_max_position_embeddings": 8},
]


def configs(family: FamilyCases) -> Iterator[dict[str, Any]]:
    """Every case."""
    for case in family.cases:
        yield {"model_type": family.model_type, **family.base, **case.config}


def asked(config: dict[str, Any]) -> dict[str, None]:
    """The paths of all values that the reader of a config looks at, in order."""
    paths: dict[str, None] = {}
    original = ConfigReader.raw

    def recording(self: ConfigReader, key: str, default: Any = None) -> Any:
        paths[f"{self._path}{key}"] = None
        return original(self, key, default)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigReader, "raw", recording)
        read(config)
    return paths


def read(config: dict[str, Any]) -> str:
    """The message of the error that a config is refused with; "" where it is read."""
    try:
        spec = read_spec(config)
    except UnsupportedError as error:
        return str(error)
    hash(spec)
    return ""


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any] | None:
    """The config with the value at a path of keys; None where something else than an object is in the way."""
    config = copy.deepcopy(config)
    *parents, last = path.split(".")
    inner: Any = config
    for key in parents:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            return None
    inner[last] = value
    return config


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_odd_values(family: FamilyCases, full: bool) -> None:
    """Each key once with every value; in the full run in every configuration."""
    seen: set[str] = set()
    for config in configs(family):
        for path in asked(config).keys() - seen:
            for value in (*NUMBERS, *OTHERS):
                odd = changed(config, path, value)
                message = read(odd) if odd else ""
                assert len(message) < 20_000, "values are shortened"
            if not full:
                seen.add(path)


@pytest.mark.parametrize("rope", ROPES, ids=lambda rope: str(rope.get("rope_type")))
@pytest.mark.parametrize(
    "model_type",
    [
        *("llama", "gemma3_text", "phi3"),
        *(pytest.param(name, marks=pytest.mark.full) for name in ("olmo3", "gpt_neox", "ministral3")),
    ],
)
def test_odd_rotary_values(model_type: str, rope: dict[str, Any]) -> None:
    family = BY_TYPE[model_type]
    config = {"model_type": model_type, **family.base, **family.cases[0].config}
    config.pop("rope_parameters", None)
    nested = {"full_attention": rope, "sliding_attention": rope}
    for odd_config in (
        {**config, "rope_scaling": rope},
        {**config, "rope_parameters": rope},
        {**config, "rope_parameters": nested},
    ):
        for path in asked(odd_config):
            for value in (*NUMBERS, *OTHERS) if path.startswith("rope_") else ():
                odd = changed(odd_config, path, value)
                if odd:
                    read(odd)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_a_value_of_another_type_is_named(family: FamilyCases) -> None:
    config = {"model_type": family.model_type, **family.base, **family.cases[0].config}
    wrong = {int: "7", float: "0.5", bool: "yes", str: 7, dict: "x"}
    assert read(config) == ""
    for key, value in config.items():
        if key in asked(config) and type(value) in wrong:
            odd = wrong[type(value)]
            assert f"{key}={odd!r} " in read({**config, key: odd}), key
            assert f"{key}=['{key}'] " in read({**config, key: [key]}), key


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_null_counts_as_absent(family: FamilyCases) -> None:
    config = {"model_type": family.model_type, **family.base, **family.cases[0].config}
    unheard_of = [
        "quantization_config",
        "quantization",
        "auto_map",
        "per_layer_config",
        "novel",
        "layer_types",
    ]
    absent = dict.fromkeys(key for key in unheard_of if key not in config)
    spec = read_spec({**config, **absent, "add_cross_attention": None, "is_causal": None})
    assert spec == read_spec(config)
    assert spec.unread_config_keys == read_spec(config).unread_config_keys
