"""Export options: frozen, validated whole, and the only place where their defaults are written.

A job file (YAML) holds the same names::

    output: models                 # optional; the command line's OUT wins
    defaults: {max_new_tokens: 64}
    models:
      - {model: "demo:stories", name: stories, prompt_lengths: [32, 128]}

Precedence: flags over a model's own entry over ``defaults`` over the defaults here; the options in
``generation`` one by one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from exporter.choices import (
    Chat,
    Dtype,
    ExtraSignature,
    Output,
    Overflow,
    Reasoning,
    RowErrors,
    ScanLayers,
    StoredWeights,
    Target,
    Thinking,
    Tokenizer,
    TokenizerReference,
    Verify,
    Warmup,
)
from exporter.errors import OptionError, did_you_mean, raise_all

#: What a servable may be called: a folder name, a URL segment and a Kubernetes label at once.
NAME_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")

#: Folders of the export directory that are no servables.
RESERVED_NAMES = {"serving": "the files that servers start from", "xla-cache": "what genserve warm compiled"}

_Positive = Annotated[int, Field(gt=0)]


#: What cannot be followed without the signature ``chat``.
CHAT_OPTIONS = ("chat_system", "chat_system_file", "thinking", "reasoning", "chat_variables")


class ExportOptions(BaseModel):
    """Everything that decides what one exported version looks like.

    Attributes:
      model: a local directory (Hugging Face or KerasHub), a hub id, a handle of a KerasHub preset, or
        ``demo:NAME``.
      revision: branch, tag or commit of a hub id.
      adapter: a PEFT LoRA adapter that is merged into ``model``: a directory or a hub id.
      name: servable name; None derives it from ``adapter`` or ``model``.
      version: version number; None takes the next free one.
      force: replace an existing version.
      max_new_tokens: cap of generated tokens per request; None takes generation_config.json's, or 64.
      prompt_lengths: length buckets in tokens, increasing; None derives them from the context length.
      pad_to_multiple_of, max_prompt_length: the other way to name the length buckets.
      batch_sizes: batch buckets, increasing.
      target: what the programs are made for; a version of either answers alike on both.
      scan_layers: "on" runs equal layers as one loop over stacked weights, "off" all one after the other;
        "auto" is what is faster.
      dtype: type of weights and activations in the compiled function; "auto": float32 for the target "cpu",
        the checkpoint's own for "gpu".
      weights: "int8" stores kernels in int8, with a scale for every output channel; "plain" in ``dtype``.
      int8_tables: the token embedding and the output head in int8 too.
      accuracy_text: a text file, UTF-8, on which int8 weights are compared with plain ones too.
      tokenizer: "auto" compiles the checkpoint's tokenizer, "none" exports token signatures only.
      tokenizer_reference: whose ids are compiled where there is a tokenizer.json: "files", the published
        files with their neighbours' settings, or "transformers", AutoTokenizer of the installed version.
      special_tokens_in_text: parse special-token text inside a prompt, as the reference does.
      source_lang, target_lang: languages of a translation model, as its tokenizer spells them.
      overflow: what happens to a prompt longer than the longest bucket.
      row_errors: "answer" puts a row's error into its answer, "raise" fails the request.
      warmup: which warmup records to write.
      verify: "full" loads the written version and keeps its golden answers; "none" needs no memory for it.
      outputs: what a generating signature answers beside text, counts and errors.
      echo: ``generated_text`` starts with the prompt.
      extra_signatures: which of genserve's further signatures to export; each costs its own compilations.
      row_token_ids: how many ids each list of a row holds (``stop_token_ids``, ``logit_bias_ids``, ...).
      resume_piece: the most tokens that one call of ``resume`` adds; ``max_new_tokens`` where that is fewer.
      next_tokens: how many tokens the ``next_token`` signature answers.
      generation: generation options (transformers' names) over the checkpoint's own.
      signatures: named presets, each a mapping of generation options.
      guides: named guides that a row of ``generate`` chooses from, each a mapping of one ``regex``,
        ``choice`` or ``json`` and what else ``exporter.guides.Guide`` takes.
      prefix_text, prefix_file: what stands before every prompt, read once at export; the file's text, UTF-8.
      template, template_file: a prompt template with a field in braces for every input, for the signature
        ``template``; ``template`` of a preset makes that preset's inputs.
      chat: whether the checkpoint's chat template is served as the signature ``chat``; "auto": where it can
        be split exactly, "on": refuse the export where not.
      chat_system, chat_system_file: the system text of every request of ``chat``, "" for none: what stands
        before the user's text is read once at export; the file's text, UTF-8.
      thinking: what the template's variable ``enable_thinking`` says; "auto": nothing.
      reasoning: whether a model's thinking stays in ``generated_text``, is an output, or is dropped.
      chat_variables: further variables of the chat template, such as a date (``strftime_now``).
      split_by_length: besides each generating signature, one per length bucket (``serving_default_128``).
      ignore_config_keys: keys of config.json that the user vouches for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str | None = None
    adapter: str | None = None
    name: str | None = None
    version: _Positive | None = None
    force: bool = False
    max_new_tokens: _Positive | None = None
    prompt_lengths: tuple[_Positive, ...] | None = None
    pad_to_multiple_of: _Positive | None = None
    max_prompt_length: _Positive | None = None
    batch_sizes: tuple[_Positive, ...] = (1, 8)
    target: Target = "gpu"
    scan_layers: ScanLayers = "auto"
    dtype: Dtype = "auto"
    weights: StoredWeights = "plain"
    int8_tables: bool = False
    accuracy_text: Path | None = None
    tokenizer: Tokenizer = "auto"
    tokenizer_reference: TokenizerReference = "files"
    special_tokens_in_text: bool = True
    source_lang: str | None = None
    target_lang: str | None = None
    overflow: Overflow = "error"
    row_errors: RowErrors = "answer"
    warmup: Warmup = "full"
    verify: Verify = "full"
    outputs: tuple[Output, ...] = ()
    echo: bool = False
    extra_signatures: tuple[ExtraSignature, ...] = ("generate",)
    row_token_ids: _Positive = 16
    resume_piece: _Positive = 64
    next_tokens: _Positive = 10
    generation: dict[str, Any] = Field(default_factory=dict)
    signatures: dict[str, dict[str, Any]] = Field(default_factory=dict)
    guides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    prefix_text: str | None = None
    prefix_file: Path | None = None
    template: str | None = None
    template_file: Path | None = None
    chat: Chat = "auto"
    chat_system: str | None = None
    chat_system_file: Path | None = None
    thinking: Thinking = "auto"
    reasoning: Reasoning = "keep"
    chat_variables: dict[str, Any] = Field(default_factory=dict)
    split_by_length: bool = False
    ignore_config_keys: tuple[str, ...] = ()

    @field_validator("prompt_lengths", "batch_sizes")
    @classmethod
    def _increasing(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or list(value) != sorted(set(value))):
            raise ValueError(f"{list(value)} must be a non-empty, strictly increasing list")
        return value

    @field_validator("name")
    @classmethod
    def _servable_name(cls, value: str | None) -> str | None:
        if value is not None and not NAME_PATTERN.fullmatch(value):
            raise ValueError(f"{value!r} must be 1-63 letters, digits, '.', '_' or '-', ends alphanumeric")
        if value is not None and value.lower() in RESERVED_NAMES:
            raise ValueError(_reserved(value))
        return value

    @model_validator(mode="after")
    def _one_way_to_name_lengths(self) -> ExportOptions:
        if self.prompt_lengths is not None and (self.pad_to_multiple_of or self.max_prompt_length):
            raise ValueError("prompt_lengths excludes pad_to_multiple_of and max_prompt_length")
        return self

    @model_validator(mode="after")
    def _one_prefix(self) -> ExportOptions:
        if self.prefix_text is not None and self.prefix_file is not None:
            raise ValueError("prefix_text excludes prefix_file")
        if (self.prefix_text is not None or self.prefix_file) and self.tokenizer == "none":
            raise ValueError("prefix_text needs a tokenizer; tokenizer 'none' exports token signatures only")
        return self

    @model_validator(mode="after")
    def _int8_asked_for(self) -> ExportOptions:
        for name in ("int8_tables", "accuracy_text"):
            if self.weights != "int8" and getattr(self, name):
                raise ValueError(f"{name} needs weights 'int8', got weights {self.weights!r}")
        if self.accuracy_text and self.tokenizer == "none":
            raise ValueError(
                "accuracy_text needs a tokenizer; tokenizer 'none' exports token signatures only"
            )
        return self

    @model_validator(mode="after")
    def _one_template(self) -> ExportOptions:
        if self.template is not None and self.template_file is not None:
            raise ValueError("template excludes template_file")
        if self.tokenizer == "none" and (self.template is not None or self.template_file):
            raise ValueError("template needs a tokenizer; tokenizer 'none' exports token signatures only")
        return self

    @model_validator(mode="after")
    def _chat_asked_for(self) -> ExportOptions:
        if self.chat == "on" and self.tokenizer == "none":
            raise ValueError("chat needs a tokenizer; tokenizer 'none' exports token signatures only")
        if self.chat_system is not None and self.chat_system_file is not None:
            raise ValueError("chat_system excludes chat_system_file")
        given = [name for name in CHAT_OPTIONS if name in self.model_fields_set]
        if self.tokenizer == "none" and (self.chat_system is not None or self.chat_system_file):
            raise ValueError("chat_system needs a tokenizer; tokenizer 'none' exports token signatures only")
        if self.chat == "off" and given:
            raise ValueError(f"{given[0]} is about the signature 'chat', and chat is 'off'")
        return self

    def prefix(self) -> str | None:
        """The prefix text, None without; raises OptionError for a file that is no text, or an empty one."""
        text = self._text_of("prefix_text", "prefix_file")
        if text == "":
            raise OptionError("prefix_text: '' is empty; allowed: a text, or no prefix_text at all")
        return text

    def template_text(self) -> str | None:
        """The template of the signature ``template``, None without; raises OptionError as ``prefix`` does."""
        return self._text_of("template", "template_file")

    def chat_system_text(self) -> str | None:
        """The system text of all chats, None without; raises OptionError as ``prefix`` does."""
        return self._text_of("chat_system", "chat_system_file")

    def _text_of(self, option: str, of_file: str) -> str | None:
        """A text that is given as it stands, or in a file."""
        path: Path | None = getattr(self, of_file)
        if path is None:
            text: str | None = getattr(self, option)
            return text
        try:
            return path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"{of_file}: {path} cannot be read: {error}") from error

    @property
    def origin(self) -> str:
        """What tells exports apart that are named alike."""
        return self.model + (f" with the adapter {self.adapter}" if self.adapter else "")

    def servable_name(self) -> str:
        """The given name, or one derived from the model: its last path segment, made safe."""
        if self.name is not None:
            return self.name
        last = (self.adapter or self.model).removeprefix("demo:").rstrip("/").rsplit("/", 1)[-1]
        last = last.removesuffix(".gguf")
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("._-")[:63].rstrip("._-")
        if not safe:
            raise OptionError(
                f"no servable name can be derived from model {self.adapter or self.model!r}: give --name"
            )
        if safe.lower() in RESERVED_NAMES:
            raise OptionError(f"name: {_reserved(safe)}: give --name")
        return safe

    def effective(self) -> dict[str, tuple[Any, bool]]:
        """Option name -> (value, whether it is the default), in declaration order."""
        fields = type(self).model_fields
        return {
            name: (value, name != "model" and value == fields[name].get_default(call_default_factory=True))
            for name, value in self
        }


def _reserved(name: str) -> str:
    return f"{name!r} is reserved: OUT/{name.lower()} holds {RESERVED_NAMES[name.lower()]}"


class Job(BaseModel):
    """A parsed job file joined with the command line: where to write, and what."""

    model_config = ConfigDict(frozen=True)

    output: Path
    exports: tuple[ExportOptions, ...]


def make_options(values: Mapping[str, Any], where: str = "options") -> ExportOptions:
    """Validates one model's options; every problem stands in one OptionError."""
    known = set(ExportOptions.model_fields)
    problems = [f"{key}: unknown option{did_you_mean(key, known)}" for key in values if key not in known]
    try:
        options = ExportOptions.model_validate({key: values[key] for key in values if key in known})
    except ValidationError as error:
        problems += [_problem(item) for item in error.errors()]
    raise_all(OptionError, f"{where} cannot be used:", problems)
    return options


def _problem(item: Any) -> str:
    """One pydantic error as ``field: what is wrong, got value``."""
    field = ".".join(str(part) for part in item["loc"]) or "options"
    message = item["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" + ("" if item["type"] == "value_error" else f", got {item['input']!r}")


def job_output(path: Path) -> str | None:
    """Where a job file says that it exports to: a folder or a URL."""
    content = _job_file(path)
    return str(content["output"]) if isinstance(content, dict) and content.get("output") else None


def _job_file(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"job file {path} cannot be read: {error}") from error


def read_job(path: Path, output: Path | None, flags: Mapping[str, Any]) -> Job:
    """Reads a YAML job file; ``flags`` (given ones only) override every model's entry.

    Raises:
      OptionError: unreadable file, unknown keys, no models, two models of one name and version.
    """
    return make_job(_job_file(path), output, flags, f"job file {path}")


def make_job(content: Any, output: Path | None, flags: Mapping[str, Any], where: str) -> Job:
    """A job file's content, as ``read_job`` reads it; ``where`` names it in errors."""
    if not isinstance(content, dict) or not isinstance(content.get("models"), list) or not content["models"]:
        raise OptionError(f"{where}: needs a non-empty list 'models'")
    known = {"output", "defaults", "models"}
    raise_all(
        OptionError,
        f"{where} cannot be used:",
        [f"{key}: unknown key{did_you_mean(str(key), known)}" for key in content if key not in known],
    )
    defaults = content.get("defaults") or {}
    for number, entry in enumerate([defaults, *content["models"]]):
        if not isinstance(entry, dict):
            raise OptionError(
                f"{where}: {'defaults' if number == 0 else f'models[{number - 1}]'} must be a mapping"
            )
    exports = tuple(
        make_options(_merged(defaults, entry, flags), f"{where}: models[{number}]")
        for number, entry in enumerate(content["models"])
    )
    _refuse_twins(exports, where)
    target = output or (Path(content["output"]) if content.get("output") else None)
    if target is None:
        raise OptionError(f"{where} has no 'output': give OUT on the command line")
    return Job(output=target, exports=exports)


def _merged(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Later levels win; of ``generation`` each option for itself."""
    merged = {key: value for level in levels for key, value in level.items()}
    generation = [level["generation"] for level in levels if level.get("generation") is not None]
    if len(generation) > 1 and all(isinstance(options, Mapping) for options in generation):
        merged["generation"] = {key: value for options in generation for key, value in options.items()}
    return merged


def _refuse_twins(exports: Sequence[ExportOptions], where: str) -> None:
    """One version twice, and one name that two models derive: their versions would follow each other."""
    seen: set[tuple[str, int | None]] = set()
    models: dict[str, str] = {}
    problems = []
    for options in exports:
        name = options.servable_name()
        if (name, options.version) in seen and options.version is not None:
            problems.append(f"{name} version {options.version} is named twice")
        seen.add((name, options.version))
        other = models.setdefault(name, options.origin)
        if options.name is None and other != options.origin:
            problems.append(f"{other} and {options.origin} are both called {name}: give one a 'name'")
    raise_all(OptionError, f"{where} cannot be used:", problems)
