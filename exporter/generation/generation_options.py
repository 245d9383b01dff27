"""Generation options: transformers' names, defaults and precedence, resolved once at export.

``resolve_options`` follows ``GenerationMixin._prepare_generation_config`` and
``_prepare_generated_length`` of transformers 5 (src/transformers/generation/utils.py). Imports no TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from exporter.errors import OptionError, UnsupportedError, did_you_mean, raise_all
from exporter.generation.attributes import ATTRIBUTES, CUSTOM_KEYS, EXTRAS, NOT_EXPORTED, Fate
from exporter.generation.off_values import SAMPLING, is_number, neutral_of
from exporter.generation.option_checks import contradictions, ids_outside
from exporter.guides import Guide

# The default of transformers 5 where neither max_new_tokens nor max_length is set.
DEFAULT_NEW_TOKENS = 20

# A row with this seed draws an unpredictable one.
UNPREDICTABLE_SEED = -1


def _one_or_more(value: Any) -> Any:
    """Accepts a single value where a tuple is expected."""
    return (value,) if isinstance(value, int | str) and not isinstance(value, bool) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _pairs(value: Any) -> Any:
    """Accepts a mapping from token sequences where pairs are expected."""
    return tuple(value.items()) if isinstance(value, Mapping) else value


def _json_text(value: Any) -> Any:
    """Accepts a JSON Schema as it is where its text is expected: options are hashable."""
    is_schema = isinstance(value, Mapping | bool)
    return json.dumps(value, ensure_ascii=False) if is_schema else value


TokenId = Annotated[int, Field(ge=0, strict=True)]
TokenIds = tuple[TokenId, ...]
Sequences = tuple[Annotated[TokenIds, Field(min_length=1)], ...]
Biases = tuple[tuple[Annotated[TokenIds, Field(min_length=1)], float], ...]
Count = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class GenerationOptions(BaseModel):
    """Resolved options of one signature. Frozen and hashable; every change of it retraces.

    Names and meaning are those of transformers' GenerationConfig; neutral values stand for "off" (top_k 0,
    top_p 1, empty tuples). docs/options.md describes each.

    Attributes that are not GenerationConfig's: presence_penalty and frequency_penalty, seed, scores (return
    them), logprobs (None: none; n: of each token and of the n most probable), guided_regex, guided_choice and
    guided_json (its text).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_new_tokens: Positive = DEFAULT_NEW_TOKENS
    max_length: Positive | None = None
    min_length: Count = 0
    min_new_tokens: Count = 0
    stop_strings: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_one_or_more)
    ] = ()

    do_sample: bool = False
    num_beams: Positive = 1
    num_return_sequences: Positive = 1
    early_stopping: bool | Literal["never"] = False
    length_penalty: Annotated[float, Field(allow_inf_nan=False)] = 1.0

    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    top_h: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Count = 0
    top_p: Share = 1.0
    min_p: Share = 0.0
    typical_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    epsilon_cutoff: Share = 0.0
    eta_cutoff: Share = 0.0

    sequence_bias: Annotated[Biases, BeforeValidator(_pairs)] = ()
    encoder_repetition_penalty: Factor = 1.0
    repetition_penalty: Factor = 1.0
    presence_penalty: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    frequency_penalty: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    no_repeat_ngram_size: Count = 0
    encoder_no_repeat_ngram_size: Count = 0
    bad_words_ids: Sequences = ()
    forced_bos_token_id: TokenId | None = None
    forced_eos_token_id: Annotated[TokenIds, BeforeValidator(_one_or_more)] = ()
    remove_invalid_values: bool = False
    exponential_decay_length_penalty: tuple[int, Factor] | None = None
    suppress_tokens: TokenIds = ()
    begin_suppress_tokens: TokenIds = ()
    renormalize_logits: bool = False

    guided_regex: str | None = None
    guided_choice: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    guided_json: Annotated[str | None, BeforeValidator(_json_text)] = None

    eos_token_id: Annotated[tuple[int, ...], BeforeValidator(_one_or_more)] = ()
    pad_token_id: int = 0
    bos_token_id: int | None = None
    decoder_start_token_id: TokenId | None = None

    prompt_lookup_num_tokens: Count = 0
    max_matching_ngram_size: Positive = 2
    seed: Annotated[int, Field(ge=UNPREDICTABLE_SEED, lt=2**63, strict=True)] = UNPREDICTABLE_SEED
    scores: bool = False
    logprobs: Count | None = None

    @property
    def guide(self) -> Guide | None:
        """What every answer follows; OptionError or UnsupportedError for what is no guide."""
        found = [Guide(kind, source) for kind, source in self.guide_sources.items()]
        return found[0] if found else None

    @property
    def guide_sources(self) -> dict[Any, Any]:
        """The sources of guides by their kind: more than one is a contradiction."""
        sources = {"regex": self.guided_regex, "choice": self.guided_choice or None, "json": self.guided_json}
        return {kind: source for kind, source in sources.items() if source is not None}


#: One of them at most says what every answer follows.
GUIDE_OPTIONS = frozenset({"guided_regex", "guided_choice", "guided_json"})
_FIELDS = GenerationOptions.model_fields.keys()
# Fields that follow from several settings together.
_LENGTHS = {"max_new_tokens", "max_length", "min_new_tokens", "min_length"}


class _Setting(NamedTuple):
    """A value and where it came from, for messages."""

    value: Any
    source: str


def resolve_options(
    generation_config: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    overrides: Mapping[str, Any],
    *,
    vocab_size: int,
    is_encoder_decoder: bool = False,
    context_length: int | None = None,
    most_of_files: int | None = None,
    ignore: Collection[str] = (),
) -> GenerationOptions:
    """Merges a checkpoint's generation settings and the caller's into one set of options.

    Args:
      generation_config: generation_config.json, or None where the checkpoint has none: then, and only then,
        generation keys of config.json count, as in transformers.
      config: config.json.
      overrides: the caller's options. None switches an option of the checkpoint off.
      vocab_size: width of the logits; ids that must be produced or masked lie below it.
      is_encoder_decoder: whether new tokens have their own sequence, starting with decoder_start_token_id.
      context_length: the model's max_position_embeddings, the limit of a default length.
      most_of_files: the most new tokens where the checkpoint's files, not the caller, choose how many.
      ignore: keys of generation_config.json to pass over although nothing is known about them.

    Raises:
      OptionError: unknown names, wrong values or contradictions; every problem in one error.
      UnsupportedError: a valid option that the graph does not reproduce.
    """
    settings = _file_settings(generation_config, config)
    wrong = _unknown_keys(settings, overrides, ignore)
    settings |= {name: _Setting(value, "option") for name, value in overrides.items()}
    if settings.get("top_k", _Setting(0, "")).value is None:
        settings["top_k"] = _Setting(0, "option")
    elif "top_k" not in settings:
        settings["top_k"] = _Setting(50, "default")
    settings = _switched_off(settings)
    refused = _refused(settings)
    values = _lengths(settings, overrides, is_encoder_decoder, context_length, wrong)
    if most_of_files and asked_length(overrides) is None and isinstance(values.get("max_new_tokens"), int):
        values["max_new_tokens"] = min(values["max_new_tokens"], most_of_files)
    values |= _special_tokens(settings, is_encoder_decoder, wrong)
    derived = _LENGTHS | values.keys()
    values |= {name: settings[name].value for name in _FIELDS & settings.keys() - derived}
    options = _build(values, settings, wrong)
    if options is not None:
        wrong += contradictions(options) + ids_outside(options, vocab_size)
    raise_all(OptionError if wrong else UnsupportedError, "generation options:", wrong + refused)
    assert options is not None
    return options


def asked_length(settings: Mapping[str, Any]) -> tuple[str, Any] | None:
    """The option that says how much is generated, and its value: max_new_tokens before max_length."""
    names = ("max_new_tokens", "max_length")
    return next(((name, settings[name]) for name in names if settings.get(name) is not None), None)


def _switched_off(settings: Mapping[str, _Setting]) -> dict[str, _Setting]:
    """The settings without null, the files' off-values as we spell them.

    A file's sampling option that is out of range counts only with do_sample, as in the reference. The
    caller's own are taken at their word.
    """
    sampled = settings.get("do_sample", _Setting(False, "")).value is True
    changed = {
        name: setting
        if setting.source == "option"
        else setting._replace(value=neutral_of(name, setting.value))
        for name, setting in settings.items()
    }
    return {
        name: setting
        for name, setting in changed.items()
        if setting.value is not None
        and (sampled or name not in SAMPLING or setting.source == "option" or _fits(name, setting.value))
    }


def _fits(name: str, value: Any) -> bool:
    """Whether an option takes a number; anything else than a number is judged later."""
    try:
        GenerationOptions(**{name: value})
    except ValidationError:
        return not is_number(value)
    return True


def _file_settings(
    generation_config: Mapping[str, Any] | None, config: Mapping[str, Any]
) -> dict[str, _Setting]:
    """The checkpoint's settings, as ``from_pretrained`` reads them (utils.py, adjust_generation_fn)."""
    if generation_config is not None:
        found = {key: value for key, value in generation_config.items() if value is not None}
        return {key: _Setting(value, "generation_config.json") for key, value in found.items()}
    inner: Mapping[str, Any] = next(
        (config[key] for key in ("decoder", "generator", "text_config") if isinstance(config.get(key), dict)),
        {},
    )
    found = {key: value for key, value in {**inner, **_set(config)}.items() if key in ATTRIBUTES}
    if config.get("force_bos_token_to_be_generated"):
        found["forced_bos_token_id"] = found.get("bos_token_id")
    return {key: _Setting(value, "config.json") for key, value in found.items() if value is not None}


def _set(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _unknown_keys(
    settings: Mapping[str, _Setting], overrides: Mapping[str, Any], ignore: Collection[str]
) -> list[str]:
    known = ATTRIBUTES.keys() | EXTRAS.keys() | NOT_EXPORTED.keys()
    wrong = [
        f"generation_config.json: {key}={setting.value!r}: unknown key{did_you_mean(key, known)}; "
        f"--ignore-config-key {key} passes over it"
        for key, setting in settings.items()
        if key not in known | CUSTOM_KEYS | set(ignore)
    ]
    return wrong + [
        f"{key}: unknown option{did_you_mean(key, known)}" for key in overrides if key not in known
    ]


def _refused(settings: Mapping[str, _Setting]) -> list[str]:
    """Attributes that change what is generated in a way the graph does not follow."""
    return [
        f"{name}={setting.value!r} ({setting.source}): {ATTRIBUTES[name].note}"
        for name, setting in settings.items()
        if name in ATTRIBUTES
        and ATTRIBUTES[name].fate is Fate.REFUSED
        and setting.value not in ATTRIBUTES[name].neutral
    ] + [f"{name}={settings[name].value!r}: {why}" for name, why in NOT_EXPORTED.items() if name in settings]


def _lengths(
    settings: Mapping[str, _Setting],
    overrides: Mapping[str, Any],
    is_encoder_decoder: bool,
    context_length: int | None,
    wrong: list[str],
) -> dict[str, Any]:
    """max_new_tokens before max_length before the default of 20 new tokens, and the minima likewise."""
    values: dict[str, Any] = {"min_length": settings["min_length"].value} if "min_length" in settings else {}
    if "min_new_tokens" in settings:
        values = {"min_new_tokens": settings["min_new_tokens"].value}
    if "max_new_tokens" in settings:
        if overrides.get("max_length") is not None:
            wrong.append(f"max_length={overrides['max_length']!r}: max_new_tokens is set and goes before it")
        return values | {"max_new_tokens": settings["max_new_tokens"].value}
    if "max_length" not in settings:
        # The default length ends where the model's positions end.
        return values | {"max_new_tokens": DEFAULT_NEW_TOKENS, "max_length": context_length}
    length = settings["max_length"].value
    if not isinstance(length, int) or length < 2:
        wrong.append(f"max_length={length!r}: an integer of at least 2 (one prompt token, one new token)")
        return values
    return values | {"max_new_tokens": length - 1, "max_length": length}


def _special_tokens(
    settings: Mapping[str, _Setting], is_encoder_decoder: bool, wrong: list[str]
) -> dict[str, Any]:
    """Fallbacks of ``_prepare_special_tokens``: pad from eos, decoder start from bos."""
    values: dict[str, Any] = {}
    eos = settings.get("eos_token_id")
    ids = () if eos is None else _one_or_more(eos.value)
    valid = [token for token in ids if isinstance(token, int) and token >= 0] if _is_list(ids) else []
    if "pad_token_id" not in settings and valid:
        values["pad_token_id"] = valid[0]
    start = settings.get("decoder_start_token_id", settings.get("bos_token_id"))
    if not is_encoder_decoder:
        return values | {"decoder_start_token_id": None}
    if start is None:
        wrong.append("decoder_start_token_id: an encoder-decoder model needs it, or bos_token_id")
        return values
    return values | {"decoder_start_token_id": start.value}


def _build(
    values: dict[str, Any], settings: Mapping[str, _Setting], wrong: list[str]
) -> GenerationOptions | None:
    """The model, or None with every wrong field added to ``wrong``."""
    try:
        return GenerationOptions(**values)
    except ValidationError as error:
        fields: dict[str, str] = {}
        for detail in error.errors():
            fields.setdefault(str(detail["loc"][0]), detail["msg"])
        for name, message in fields.items():
            source = settings[name].source if name in settings else "derived"
            wrong.append(f"{name}={values[name]!r} ({source}): {message}")
        return None
