"""Reads a config.json key by key: each key is used, known to be harmless, or a problem.

A family's reader asks for what it needs; ``finish`` then reports all problems in one error: wrong types and
values, and every key that nothing asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from exporter.errors import UnsupportedError, did_you_mean, raise_all

T = TypeVar("T")

# Bookkeeping, training and output options of the reference's base class, of version 4 and 5.
HARMLESS = frozenset(
    """
    _attn_implementation _attn_implementation_autoset _commit_hash _name_or_path _num_labels
    architectures attention_dropout attn_implementation attn_pdrop bos_token_id chunk_size_feed_forward
    cross_attention_hidden_size custom_pipelines decoder_start_token_id dtype embd_pdrop eos_token_id
    finetuning_task gradient_checkpointing id2label initializer_range is_decoder label2id model_type
    num_labels output_attentions output_hidden_states output_past pad_token_id problem_type resid_pdrop
    return_dict sep_token_id task_specific_params tf_legacy_loss tie_encoder_decoder
    tie_last_hidden_states tokenizer_class torch_dtype torchscript transformers.js_config
    transformers_version transformers_weights unsloth_fixed unsloth_version use_bfloat16 use_cache
    """.split()  # noqa: SIM905
)

# Generation options that version 4 wrote into config.json: they have no part in the graph of the model.
GENERATION = frozenset(
    """
    bad_words_ids begin_suppress_tokens diversity_penalty do_sample early_stopping
    encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id
    forced_eos_token_id length_penalty max_length max_new_tokens min_length no_repeat_ngram_size
    num_beam_groups num_beams num_return_sequences output_scores prefix remove_invalid_values
    repetition_penalty return_dict_in_generate suppress_tokens temperature top_k top_p typical_p
    """.split()  # noqa: SIM905
)

EXPLAINED = {
    "quantization": "the weights are quantised by MLX; export the unquantised checkpoint, or undo it: "
    "mlx_lm.convert --hf-path DIR --dequantize --mlx-path OUT",
    "quantization_config": "the weights are quantised; export the unquantised checkpoint",
    "auto_map": "the checkpoint asks for code of its own, which is never run; the graph follows the "
    "reference's class for this model_type",
    "per_layer_config": "layers that differ by override are not supported",
}


class ConfigReader:
    """Typed access to a config; remembers what was asked for and what was wrong."""

    def __init__(
        self, config: Mapping[str, Any], aliases: Mapping[str, str] | None = None, path: str = ""
    ) -> None:
        """``aliases``: other names of keys, which win over them as the reference's ``attribute_map`` does."""
        self._config = dict(config)
        for alias, key in (aliases or {}).items():
            value = self._config.pop(alias, None)
            if value is not None:
                self._config[key] = value
        self._path = path
        self._used: set[str] = set()
        self._problems: list[str] = []
        self._sections: list[ConfigReader] = []

    def section(self, key: str) -> ConfigReader:
        """The reader of a nested object; null and an absent key count as an empty one."""
        value = self.raw(key)
        if value is not None and not isinstance(value, dict):
            self.problem(f"{key}={value!r} must be an object")
            value = None
        section = ConfigReader(value or {}, path=f"{self._path}{key}.")
        self._sections.append(section)
        return section

    def __contains__(self, key: str) -> bool:
        """Whether the key is there, even as null."""
        return key in self._config

    def has(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        return self._config.get(key) is not None

    def raw(self, key: str, default: Any = None) -> Any:
        """The value as it is."""
        self._used.add(key)
        return self._config.get(key, default)

    def integer(self, key: str, default: int | None = None, minimum: int = 1) -> int:
        """An integer of at least ``minimum``; without a default the key must be there."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            self.problem(f"{key}={value!r} must be an integer of at least {minimum}")
            return minimum if default is None else default
        return value

    def optional_integer(self, key: str, default: int | None = None, minimum: int = 1) -> int | None:
        """As ``integer``; null or an absent key gives the default, which may be None."""
        return self.integer(key, minimum=minimum) if self.has(key) else self._absent(key, default)

    def number(self, key: str, default: float) -> float:
        """An int or float."""
        value = self.raw(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.problem(f"{key}={value!r} must be a number")
            return default
        return float(value)

    def optional_number(self, key: str, default: float | None = None) -> float | None:
        """As ``number``; null or an absent key gives the default, which may be None."""
        return self.number(key, 0.0) if self.has(key) else self._absent(key, default)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            self.problem(f"{key}={value!r} must be true or false")
            return default
        return value

    def choice(self, key: str, choices: Mapping[str, T], default: str) -> T:
        """One of the named values."""
        value = self.raw(key, default)
        if not isinstance(value, str) or value not in choices:
            hint = did_you_mean(value, choices) if isinstance(value, str) else ""
            self.problem(f"{key}={value!r} is not supported{hint}; known are {', '.join(sorted(choices))}")
            return choices[default]
        return choices[value]

    def expect(self, key: str, *allowed: Any, why: str) -> None:
        """A key that is supported with these values only (its absence counts as the first)."""
        value = self.raw(key, allowed[0])
        if value not in allowed:
            self.problem(f"{key}={value!r} is not supported: {why}")

    def harmless(self, *keys: str) -> None:
        """Keys of this family that do not change what inference computes."""
        self._used.update(keys)

    def problem(self, text: str) -> None:
        """Notes something that cannot be supported."""
        if (line := f"{self._path}{text}") not in self._problems:
            self._problems.append(line)

    def finish(self, ignore: Iterable[str]) -> tuple[str, ...]:
        """Raises UnsupportedError with every problem found; returns the keys that ``ignore`` let pass."""
        passed: list[str] = []
        problems = self._check(frozenset(ignore), passed)
        raise_all(UnsupportedError, "config.json cannot be reproduced exactly:", problems)
        return tuple(passed)

    def _check(self, ignore: frozenset[str], passed: list[str]) -> list[str]:
        """Every problem, of the sections too; keys that ``ignore`` lets pass are added to ``passed``."""
        used = self._used | HARMLESS | GENERATION
        unknown = [key for key in self._config if key not in used]
        passed += [self._path + key for key in unknown if self._path + key in ignore]
        problems = self._problems + [
            self._unknown(key, used) for key in unknown if self._path + key not in ignore
        ]
        return [*problems, *(line for section in self._sections for line in section._check(ignore, passed))]

    def _absent(self, key: str, default: T) -> T:
        self._used.add(key)
        return default

    def _unknown(self, key: str, used: set[str]) -> str:
        reason = EXPLAINED.get(key, f"this key is not known{did_you_mean(key, used)}")
        shown = repr(self._config[key])
        value = shown if len(shown) <= 60 else shown[:57] + "..."
        name = self._path + key
        return f"{name}={value}: {reason}; --ignore-config-key {name} exports without regard to it"
