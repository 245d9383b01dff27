"""The page to try models: three files of the wheel, and the facts about models that it is built from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from exporter.client.row_calls import NEUTRAL
from exporter.gateway.completions import DEFAULT_MAX_TOKENS
from exporter.gateway.guide_choice import guide_names
from exporter.gateway.requests import Sampling
from exporter.gateway.row_inputs import export_defaults
from exporter.gateway.served_model import ServedModel

_TYPES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
#: Nothing from elsewhere, nothing inline, in no frame.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
#: The options with a control of their own, in the page's order.
OPTIONS = (
    *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty"),
    *("frequency_penalty", "seed"),
)


async def page_file(request: Request) -> Response:
    """``/`` and the files that it names."""
    name = request.path_params.get("name", "page.html")
    if name not in _TYPES:
        return Response(status_code=404)
    text = files("exporter.gateway").joinpath("page", name).read_text(encoding="utf-8")
    return Response(text, media_type=_TYPES[name], headers=_HEADERS)


def facts(name: str, model: ServedModel) -> dict[str, Any]:
    """What the page shows of a model: ways to ask, options with ranges, caps."""
    signature = model.signature_for(pieces=True, ids=False)
    takes, own = model.manifest.signatures[signature].inputs, export_defaults(model.manifest)
    ranges = Sampling.model_json_schema()["properties"]
    return {
        "id": name,
        "version": model.manifest.version,
        "modes": _modes(model),
        "streams": model.streams,
        "logprobs": model.logprobs(signature),
        "longest_prompt": model.longest,
        "max_new_tokens": model.manifest.max_new_tokens if "max_new_tokens" in takes else None,
        "max_tokens": min(DEFAULT_MAX_TOKENS, model.manifest.max_new_tokens),
        "guides": guide_names(model.manifest) if "guide" in takes else [],
        "options": [
            {"name": option, "neutral": NEUTRAL[option], "exported": own.get(option, NEUTRAL[option])}
            | _range(ranges[option])
            for option in OPTIONS
            if option in takes
        ],
    }


def _modes(model: ServedModel) -> list[dict[str, Any]]:
    """Ways to ask: the gateway's choice of a signature, then each signature that answers with text."""
    chats = model.manifest.chat is not None and model.has("encode_segments")
    modes = []
    for mode in (["chat"] if chats else []) + ["completion"]:
        default = model.signature_for(pieces=True, ids=mode == "chat")
        for name in (None, *model.answering(chat=mode == "chat")):
            takes = model.manifest.signatures[name or default].inputs
            modes.append(
                {
                    "mode": mode,
                    "signature": name,
                    "chosen": name or default,
                    "takes": [option for option in (*OPTIONS, "max_new_tokens", "guide") if option in takes],
                    "logprobs": model.logprobs(name or default) is not None and "input_ids" in takes,
                }
            )
    return modes


def _range(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The bounds of a field that may be null."""
    number = next(one for one in schema["anyOf"] if one["type"] != "null")
    return {
        "integer": number["type"] == "integer",
        "min": number.get("minimum", number.get("exclusiveMinimum")),
        "max": number.get("maximum", number.get("exclusiveMaximum")),
    }
