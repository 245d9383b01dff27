"""The bodies of requests, checked: every field is used, ignored on purpose, or refused by name."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exporter.errors import did_you_mean, shown
from exporter.gateway.errors import ApiError, invalid, unsupported

#: Fields of OpenAI's API that say nothing about the answer: taken and ignored.
IGNORED = frozenset(
    {
        *(
            "metadata",
            "parallel_tool_calls",
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
        ),
        *("service_tier", "store", "user"),
    }
)
#: Fields that change the answer, and what to do without them.
REFUSED = {
    "audio": "this API answers text only",
    "function_call": "deprecated: use tool_choice",
    "functions": "deprecated: use tools",
    "modalities": "this API answers text only",
    "prediction": "there is no predicted output; prompt lookup is an option of the export",
    "reasoning_effort": 'use chat_template_kwargs, such as {"enable_thinking": false}',
    "suffix": "models are asked to continue, not to insert",
    "verbosity": "say it in the prompt",
    "web_search_options": "there is no search",
}
#: What these fields may say all the same: it changes nothing.
_HARMLESS: dict[str, tuple[Any, ...]] = {"modalities": (["text"],), "suffix": ("",)}
#: Levels of lists and objects, in a body and in the arguments of a tool call.
MOST_LEVELS = 100


class _Body(BaseModel):
    """``strict``: "5" is no number. Ranges are OpenAI's, where the model server's are not narrower."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class StreamOptions(_Body):
    include_usage: bool = False
    include_obfuscation: bool = False


class Sampling(_Body):
    """What completions and chat have in common. None: the export's own setting.

    The last group is not OpenAI's: per-row options of the exported signatures, under vLLM's names.
    """

    model: str
    n: int = Field(default=1, ge=1, le=128)
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    max_tokens: int | None = Field(default=None, ge=1)

    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0)
    stop_token_ids: list[int] | None = None
    allowed_token_ids: list[int] | None = None
    bad_token_ids: list[int] | None = None
    ignore_eos: bool = False
    guide: str | None = Field(default=None, description="a guide of the export, by its name")
    signature: str | None = Field(default=None, description="a signature that answers with text")

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings.

        Raises:
          ApiError: one is empty, or there are more than 16.
        """
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        if "" in stops:
            raise invalid("stop: an empty string is no stop string", "stop")
        if len(stops) > 16:
            raise invalid(f"stop: {len(stops)} strings; at most 16 are allowed", "stop")
        return stops


class CompletionBody(Sampling):
    """``POST /v1/completions``. A prompt is a text or token ids, or a list of either."""

    prompt: str | list[int] | list[str] | list[list[int]]
    best_of: int | None = Field(default=None, ge=1, le=128)
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """One item per prompt.

        Raises:
          ApiError: there is none.
        """
        if isinstance(self.prompt, str):
            return [self.prompt]
        if not self.prompt:
            raise invalid("prompt: at least one is needed", "prompt")
        if isinstance(self.prompt[0], int):
            return [self.prompt]  # type: ignore[list-item]
        return self.prompt  # type: ignore[return-value]


class ResponseFormat(_Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class ChatBody(Sampling):
    """``POST /v1/chat/completions``."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] = {}


Body = TypeVar("Body", bound=Sampling)


def parse(content: bytes, kind: type[Body]) -> Body:
    """A request's body.

    Raises:
      ApiError: no JSON, an unknown or refused field, a wrong type or value; names the field.
    """
    document = _document(content)
    for name, value in list(document.items()):
        if name in IGNORED or (value is None and name not in kind.model_fields and name in REFUSED):
            del document[name]
        elif name in REFUSED and value not in _HARMLESS.get(name, ()):
            raise unsupported(f"{name}: not supported; {REFUSED[name]}", name)
        elif name in REFUSED:
            del document[name]
        elif name not in kind.model_fields:
            hint = did_you_mean(name, kind.model_fields)
            raise ApiError(
                400,
                f"Unrecognized request argument supplied: {name}{hint}",
                param=name,
                code="unknown_parameter",
            )
        elif value is None and not _takes_null(kind, name):
            del document[name]  # null is "not given" in OpenAI's API
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise _wrong(error) from None


def read_json(text: str) -> Any:
    """A value of JSON, of so many levels that everything here can walk it.

    Raises:
      ValueError: no JSON, "NaN" and its like, or more levels.
    """
    deep = ValueError(f"nested too deeply; allowed: {MOST_LEVELS} levels")
    try:
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise deep from None
    if is_deep(value):
        raise deep
    return value


def is_deep(value: Any) -> bool:
    """Whether it has lists and objects on more than ``MOST_LEVELS`` levels."""
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        inner = (
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        )
        level = [item for items in inner for item in items]
        if not level:
            return False
    return True


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _takes_null(kind: type[Sampling], name: str) -> bool:
    return kind.model_fields[name].is_required()


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = read_json(content.decode("utf-8"))
        json.dumps(document, ensure_ascii=False).encode()  # a lone surrogate, written as an escape
    except UnicodeError:
        raise invalid("the body is not valid UTF-8", code="invalid_json") from None
    except ValueError as error:
        raise invalid(f"the body is no JSON: {error}", code="invalid_json") from None
    if not isinstance(document, dict):
        raise invalid(f"the body must be a JSON object, got {shown(document)}", code="invalid_json")
    return document


def _wrong(error: ValidationError) -> ApiError:
    """The first problem; of a field with several forms each says why it is none of them."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    field = place[0] if place else None
    if first["type"] == "missing":
        return invalid(f"{'.'.join(place)}: required, but missing", field, "missing_required_parameter")
    problems = {
        item["msg"][0].lower() + item["msg"][1:]
        for item in error.errors(include_url=False)
        if item["loc"][:1] == first["loc"][:1]
    }
    return invalid(f"{field}: {' or '.join(sorted(problems))}, got {shown(first['input'])}", field)
