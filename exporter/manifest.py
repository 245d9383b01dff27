"""The manifest, ``assets.extra/genserve.json``: the one place where an artifact's facts are written.

Serving configs, clients, warmup and verification read them from here. Imports no TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from exporter.choices import Device, TokenizerReference

MANIFEST_PATH = Path("assets.extra") / "genserve.json"


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
    """

    source: str
    revision: str | None = None
    model_type: str
    kind: Literal["decoder_only", "encoder_decoder"]
    parameters: int
    vocab_size: int
    context_length: int | None
    dtype: str
    unread_config_keys: tuple[str, ...] = Field(
        default=(), description="keys of config.json that the reference does not read"
    )


class MemoryInfo(_Frozen):
    """Bytes: of the weights, and of one row's keys and values in the longest bucket."""

    weights_bytes: int
    cache_bytes_per_row: int


class WarmupInfo(_Frozen):
    """The warmup file, and what ``genserve warm`` measured with it (None before).

    Attributes:
      records: how many requests.
      seconds: loading the version and replaying them, with nothing compiled before.
      batch_seconds: one full batch in the longest bucket, compiled: the slowest signature's.
      device: where that was measured.
    """

    records: int = 0
    seconds: float | None = None
    batch_seconds: float | None = None
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


class GoldenAnswer(_Frozen):
    """A request of ``serving_default`` (or ``tokens``) and its answer at export.

    ``max_new_tokens``: where the answer was ended before the version's own cap, so that checking it takes no
    longer than it must.
    """

    signature: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    max_new_tokens: int | None = None


class Manifest(_Frozen):
    """Everything later steps need to know about one exported version.

    ``notes`` are what the export chose or passed over, a line each.
    """

    format: Literal[1] = 1
    genserve_version: str
    tensorflow_version: str
    name: str
    version: int
    created: str = Field(description="ISO 8601, UTC")
    model: ModelInfo
    tokenizer: str | None = Field(description="kind of the compiled tokenizer, None with --tokenizer none")
    tokenizer_reference: TokenizerReferenceInfo | None = Field(
        default=None, description="None without a tokenizer.json"
    )
    buckets: Buckets
    max_new_tokens: int
    signatures: dict[str, SignatureInfo]
    generation: dict[str, Any]
    options: dict[str, Any]
    memory: MemoryInfo
    prefix: PrefixInfo | None = None
    notes: tuple[str, ...] = ()
    warmup: WarmupInfo = WarmupInfo()
    golden: tuple[GoldenAnswer, ...] = ()

    @classmethod
    def read(cls, version_directory: Path) -> Manifest:
        """Reads a version's manifest; raises FileNotFoundError or pydantic.ValidationError."""
        return cls.model_validate_json((version_directory / MANIFEST_PATH).read_text(encoding="utf-8"))

    def write(self, version_directory: Path) -> None:
        """Writes the manifest into a version directory."""
        path = version_directory / MANIFEST_PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
