"""From a request's options to the inputs of a signature: one row each, neutral where nothing was said."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from exporter.client.row_calls import EXTRA_NEUTRAL, NEUTRAL
from exporter.errors import OptionError
from exporter.gateway.errors import invalid, unsupported
from exporter.gateway.requests import Sampling
from exporter.manifest import Manifest, TensorInfo

#: What a call sets itself.
_OF_CALL = {
    "text",
    "user",
    "system",
    "input_ids",
    "num_tokens",
    "generated_ids",
    "num_generated",
    "piece_tokens",
}
_OFF = NEUTRAL | EXTRA_NEUTRAL
#: What each field of a body is called in OpenAI's terms, for messages.
_FIELD = {"max_new_tokens": "max_tokens", "logit_bias_ids": "logit_bias", "logit_bias_values": "logit_bias"}
#: Every input that a call can fill.
KNOWN = frozenset(_OFF) | _OF_CALL | {"max_new_tokens"}
_EXPORT = "export it with --extra-signatures generate,generate_tokens,resume"


def check_inputs(manifest: Manifest, signature: str) -> None:
    """Refuses a version whose signature takes what this gateway does not know: a newer genserve's.

    Raises:
      OptionError: names the inputs.
    """
    inputs = manifest.signatures[signature].inputs
    if unknown := sorted(inputs.keys() - KNOWN):
        raise OptionError(
            f"model {manifest.name}: signature {signature!r} takes {', '.join(unknown)}, which this gateway "
            "does not know: upgrade it"
        )


def export_defaults(manifest: Manifest) -> dict[str, Any]:
    """The export's own settings of the per-row options: what holds where a request says nothing."""
    own = {name: manifest.generation[name] for name in NEUTRAL if name in manifest.generation}
    if not manifest.generation.get("do_sample"):
        own |= {name: NEUTRAL[name] for name in ("temperature", "top_k", "top_p", "min_p")}
    return own


def options_of(body: Sampling, manifest: Manifest, *, max_tokens: int | None) -> dict[str, Any]:
    """Per-row options that the body names, under the signatures' names.

    Raises:
      ApiError: more new tokens than the export's cap, or a bias that has no token id.
    """
    cap = manifest.max_new_tokens
    if max_tokens is not None and max_tokens > cap:
        raise invalid(
            f"max_tokens is too large: {max_tokens}. This model was exported for at most {cap} new tokens",
            "max_tokens",
        )
    named = {
        "max_new_tokens": max_tokens,
        "top_k": None if body.top_k is None else max(0, body.top_k),
        "seed": None if body.seed is None else body.seed % 2**63,
        "ignore_eos": body.ignore_eos or None,
        **{
            name: getattr(body, name)
            for name in (
                *("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty"),
                *("frequency_penalty", "stop_token_ids", "allowed_token_ids", "bad_token_ids"),
            )
        },
        **_bias(body.logit_bias),
    }
    return {name: value for name, value in named.items() if value is not None}


def _bias(bias: Mapping[str, float] | None) -> dict[str, list[Any]]:
    if not bias:
        return {}
    if wrong := [key for key in bias if not (key.isascii() and key.isdecimal())]:
        raise invalid(f"logit_bias: {wrong[0]!r} is no token id", "logit_bias")
    for key, value in bias.items():
        if not -100 <= value <= 100:
            raise invalid(f"logit_bias: {key}: {value:g}; allowed: -100 to 100", "logit_bias")
    return {"logit_bias_ids": [int(key) for key in bias], "logit_bias_values": list(bias.values())}


def row(manifest: Manifest, signature: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Every per-row input of the signature, for one row: as asked, else as exported, else neutral.

    A row without a seed gets a random one here, so that all its pieces draw from the same.

    Raises:
      ApiError: an option that the signature does not take, or a list that is too long for it.
    """
    inputs = manifest.signatures[signature].inputs
    defaults = export_defaults(manifest)
    for name, value in options.items():
        if name not in inputs and value != defaults.get(name, _implied(manifest, name)):
            field = _FIELD.get(name, name)
            raise unsupported(f"{field}: model {manifest.name} takes no such option; {_EXPORT}", field)
    values = {"max_new_tokens": manifest.max_new_tokens, **_OFF, **defaults, **options}
    if values["seed"] == NEUTRAL["seed"]:
        values["seed"] = random.getrandbits(62)
    wanted = [name for name in inputs if name not in _OF_CALL]
    return {name: [_filled(name, values[name], inputs[name])] for name in wanted}


def _implied(manifest: Manifest, name: str) -> Any:
    return manifest.max_new_tokens if name == "max_new_tokens" else _OFF[name]


def _filled(name: str, value: Any, tensor: TensorInfo) -> Any:
    """A scalar, or a list of the input's width."""
    if len(tensor.shape) == 1:
        return value
    width, off = tensor.shape[1] or 0, EXTRA_NEUTRAL[name]
    given = [] if value == off else list(value)
    if len(given) > width:
        field = _FIELD.get(name, name)
        raise invalid(f"{field}: {len(given)} token ids; this model takes at most {width}", field)
    return given + [off] * (width - len(given))
