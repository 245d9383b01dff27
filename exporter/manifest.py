"""The manifest, ``assets.extra/genserve.json``: the one place where an artifact's facts are written.

Serving configs, clients, warmup and verification read them from here. Imports no TensorFlow.
``manifest.schema.json`` beside this file is its JSON schema (scripts/make_manifest_schema.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from exporter import __version__
from exporter.choices import Device, StoredWeights, Target, TokenizerReference
from exporter.errors import OutputError, did_you_mean

MANIFEST_PATH = Path("assets.extra") / "genserve.json"
SCHEMA_PATH = Path(__file__).with_name("manifest.schema.json")
#: What is written; every format up to it is read. 2 added what ``genserve verify`` goes by.
FORMAT = 2
#: The signature of warmup records: no part of what a version offers.
WARM_UP = "warm_up"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorInfo(_Frozen):
    """dtype ("string", "int32", ...) and shape of a signature's tensor; None is an open dimension."""

    dtype: str
    shape: tuple[int | None, ...]


class SignatureInfo(_Frozen):
    """Inputs and outputs of one signature, by name."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class Buckets(_Frozen):
    """The only shapes that the compiled function ever sees: batch_sizes x prompt_lengths, increasing."""

    prompt_lengths: tuple[int, ...]
    batch_sizes: tuple[int, ...]


class ModelInfo(_Frozen):
    """What was exported.

    Attributes:
      source: a hub id, ``demo:NAME``, or the whole path of a local directory.
      revision: the commit of a hub id, whatever branch or tag was asked for; None of a local directory.
      dtype: what it computes in.
      weights: how its weights are stored: "plain" in that dtype, or kernels in "int8".
      target: what its programs are made for; they run on the other device too.
      scanned_layers: how many layers run in loops, over stacked weights.
    """

    source: str
    revision: str | None = None
    model_type: str
    kind: Literal["decoder_only", "encoder_decoder"]
    parameters: int
    vocab_size: int
    context_length: int | None
    dtype: str
    weights: StoredWeights = "plain"
    target: Target = "cpu"
    scanned_layers: int = 0
    unread_config_keys: tuple[str, ...] = Field(
        default=(), description="keys of config.json that the reference does not read"
    )


class MemoryInfo(_Frozen):
    """Bytes: of the weights, and of one row's keys, values and states in the longest bucket.

    Attributes:
      cache_bytes_per_row: of the program whose longest bucket keeps most (``resume`` has a longer one).
      state_bytes_per_row: the states' part of it, which is as large in every bucket.
      cache_bytes_by_length: of one row in each of the manifest's ``prompt_lengths``; empty where an older
        genserve exported.
    """

    weights_bytes: int
    cache_bytes_per_row: int
    state_bytes_per_row: int = 0
    cache_bytes_by_length: tuple[int, ...] = ()


class BucketMemory(_Frozen):
    """Bytes that XLA gave a compiled program in one bucket, beside its arguments.

    Attributes:
      program: its place in the manifest's ``programs``.
      temporary_bytes: activations, and keys and values, while it runs.
    """

    program: int
    batch_size: int
    prompt_length: int
    temporary_bytes: int
    result_bytes: int


class AccuracyInfo(_Frozen):
    """What weights in int8 cost, on texts that were read with them and with plain ones.

    Attributes:
      tokens: predictions that were compared.
      token_match: share of them with the same best token.
      logit_error: root mean square of the logits' differences, relative to the logits' standard deviation.
      perplexity, perplexity_plain: of the texts, with int8 and with plain weights.
    """

    tokens: int
    token_match: float
    logit_error: float
    perplexity: float
    perplexity_plain: float


class WarmupInfo(_Frozen):
    """The warmup file, and what ``genserve warm`` measured with it (None before).

    Attributes:
      records: how many requests.
      seconds: loading the version and replaying them, with nothing compiled before.
      batch_seconds: one full batch in the longest bucket, compiled: the slowest signature's.
      memory: of every program and bucket, as XLA planned it.
      device: where that was measured.
    """

    records: int = 0
    seconds: float | None = None
    batch_seconds: float | None = None
    memory: tuple[BucketMemory, ...] = ()
    device: Device | None = None


class PrefixInfo(_Frozen):
    """A prompt prefix, baked at export.

    Attributes:
      sha256: of the prefix text in UTF-8 (``options`` hold the text, or the name of its file).
      tokens: how many are baked, those of the tokenizer's template in front included.
      rest: the end of the text, which is tokenized with each request.
      rest_tokens: how many tokens of each request's bucket that takes.
      bytes: of the baked keys and values, kept once (part of ``weights_bytes``).
    """

    sha256: str
    tokens: int
    rest: str
    rest_tokens: int
    bytes: int


class ChatInfo(_Frozen):
    """The chat template behind the signature ``chat``.

    Attributes:
      template: the Jinja text; ``tool_use`` another one for requests with tools, where there is one.
      variables: what every rendering is given.
      end_of_turn: the special token behind an answer, which ends it; None where that is no single token.
      reasoning: the markers before and after the model's thinking; None where the template has none.
      opened: whether a prompt ends inside the thinking already.
      guarded: added tokens beside the special ones that are tokens in the template's own words alone.
      system: whether the template takes a system text.
      prefix: what is baked of the prompts of ``chat`` where their system text is fixed (``options`` hold it,
        or the name of its file): all that stands before the user's text.
    """

    template: str
    tool_use: str | None = None
    variables: dict[str, Any] = Field(default_factory=dict)
    end_of_turn: str | None = None
    reasoning: tuple[str, str] | None = None
    opened: bool = False
    guarded: tuple[str, ...] = ()
    system: bool = True
    prefix: PrefixInfo | None = None


class TokenizerExample(_Frozen):
    """A text, and its ids by either reference (None where that fails on it)."""

    text: str
    files: tuple[int, ...] | None
    transformers: tuple[int, ...] | None


class TokenizerReferenceInfo(_Frozen):
    """Whose ids the tokenizer graph gives, and how the other reference answered on a sample.

    Attributes:
      compiled: the published files with their neighbours' settings, or AutoTokenizer of transformers.
      version: of transformers at the export.
      strings: how many both were asked; on ``differing`` of them their ids differ.
      example: the shortest of those.
      unreadable: why the reference that is not compiled could not be asked.
    """

    compiled: TokenizerReference
    version: str
    strings: int = 0
    differing: int = 0
    example: TokenizerExample | None = None
    unreadable: str | None = None


class GuideInfo(_Frozen):
    """A guide that answers follow.

    Attributes:
      states, classes, bytes: of its table over the vocabulary.
      signature: the first that always follows it; None of guides that rows choose from, whose place in the
        manifest's ``guides`` is their number.
    """

    name: str
    kind: Literal["regex", "choice", "json"]
    states: int
    classes: int
    bytes: int
    signature: str | None = None


class GoldenAnswer(_Frozen):
    """A request of a signature, for one row, and its answer at export.

    Attributes:
      outputs: those that are the same each time; of an answer that is drawn anew each time only ``error`` is.
      max_new_tokens: where the answer was ended before the version's own cap, so that checking it takes no
        longer than it must.
      margins: by step: the difference of two logits that would have chosen another token. Where it is small,
        another machine's rounding may. Of beam search, several sequences and ``next_token``: one, of all.
        Empty: unknown, ``unsure`` says why.
      decided: by step: how much of the answer the tokens before that step fix: characters of
        ``generated_text``, or ids of ``generated_ids``. As many as ``margins``.
      unsure: why there are no margins.
      not_compared: which outputs are left out of ``outputs``, and why.
    """

    signature: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    max_new_tokens: int | None = None
    margins: tuple[float, ...] = ()
    decided: tuple[int, ...] = ()
    unsure: str = ""
    not_compared: str = ""


class FileInfo(_Frozen):
    """A file by its path, with forward slashes, below the checkpoint or the version's directory."""

    path: str
    bytes: int
    sha256: str


class AdapterInfo(_Frozen):
    """A PEFT adapter that was merged into the model.

    Attributes:
      source: a hub id, or the whole path of a directory; ``revision`` the commit of a hub id.
      base: the model that its configuration says it was trained on.
      files: what was read of it: configuration, weights, and the tokenizer where it has one.
    """

    source: str
    revision: str | None = None
    base: str | None = None
    files: tuple[FileInfo, ...] = ()


class Libraries(_Frozen):
    """What exported beside TensorFlow. ``xla``: the build of TensorFlow, whose XLA is compiled in."""

    python: str
    xla: str
    tensorflow_text: str
    keras: str
    transformers: str
    tokenizers: str


class ProgramInfo(_Frozen):
    """A compiled program.

    Attributes:
      kind: what it computes.
      signatures: those that reach it.
      compilations: how many shapes XLA compiles it for: batch sizes x prompt lengths; the program of
        ``resume`` has one length more, for prompts with their answers.
    """

    kind: Literal["generation", "score", "next_token", "prompt_logprobs"]
    signatures: tuple[str, ...]
    compilations: int


class MeasuredInfo(_Frozen):
    """What verifying the written version took, at export.

    Attributes:
      load_seconds: loading it.
      compile_seconds: its first answer, less the quickest one after: compiling the smallest bucket.
      answer_seconds: that quickest one.
      peak_memory_bytes: the most that a process of the export held: the one that wrote the version,
        or the one that verified it.
    """

    load_seconds: float
    compile_seconds: float
    answer_seconds: float
    peak_memory_bytes: int


class Manifest(_Frozen):
    """Everything later steps need to know about one exported version.

    Attributes:
      libraries, sources, files, programs, measured: None or empty in manifests of format 1.
      golden, measured: empty and None with ``--verify none``.
      sources: the checkpoint's files: configuration, tokenizer, and the weights that were read.
      files: every written file; not this one, and none that ``genserve config`` writes anew.
      notes: what the export chose or passed over, a line each.
    """

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    genserve_version: str
    tensorflow_version: str
    libraries: Libraries | None = None
    name: str
    version: int
    created: str = Field(description="ISO 8601, UTC")
    model: ModelInfo
    adapter: AdapterInfo | None = Field(default=None, description="None where none was merged")
    tokenizer: str | None = Field(description="kind of the compiled tokenizer, None with --tokenizer none")
    tokenizer_reference: TokenizerReferenceInfo | None = Field(
        default=None, description="None without a tokenizer.json"
    )
    buckets: Buckets
    max_new_tokens: int
    signatures: dict[str, SignatureInfo]
    programs: tuple[ProgramInfo, ...] = ()
    generation: dict[str, Any]
    options: dict[str, Any]
    memory: MemoryInfo
    measured: MeasuredInfo | None = None
    accuracy: AccuracyInfo | None = Field(default=None, description="of weights in int8")
    prefix: PrefixInfo | None = None
    guides: tuple[GuideInfo, ...] = ()
    chat: ChatInfo | None = Field(default=None, description="None where no chat template is served")
    notes: tuple[str, ...] = ()
    warmup: WarmupInfo = WarmupInfo()
    golden: tuple[GoldenAnswer, ...] = ()
    sources: tuple[FileInfo, ...] = ()
    files: tuple[FileInfo, ...] = ()

    @classmethod
    def read(cls, version_directory: Path) -> Manifest:
        """Reads a version's manifest, of any format up to ours; what is written again has ours.

        Raises:
          FileNotFoundError: there is none.
          pydantic.ValidationError: no manifest, or one with a value that cannot be.
          OutputError: a newer format, or a key that this format does not have.
        """
        path = version_directory / MANIFEST_PATH
        text = path.read_text(encoding="utf-8")
        if isinstance(facts := _object(text), dict):
            _check_format(path, facts)
            text = json.dumps(facts | {"format": FORMAT})
        return cls.model_validate_json(text)

    def write(self, version_directory: Path) -> None:
        """Writes the manifest into a version directory."""
        path = version_directory / MANIFEST_PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Its JSON schema; ``SCHEMA_PATH`` holds the same."""
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "genserve manifest"}
        return head | {key: value for key, value in cls.model_json_schema().items() if key != "title"}


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None  # the model's own error says it better


def _check_format(path: Path, facts: dict[str, Any]) -> None:
    number = facts.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise OutputError(
            f"{path}: format {number} was written by genserve {facts.get('genserve_version', '(unnamed)')}; "
            f"this genserve {__version__} reads up to {FORMAT}: upgrade"
        )
    known = list(Manifest.model_fields)
    if unknown := [key for key in facts if key not in known]:
        named = ", ".join(f"{key!r}{did_you_mean(key, known)}" for key in unknown)
        raise OutputError(f"{path}: format {number} has no {named}")
