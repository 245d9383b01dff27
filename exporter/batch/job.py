"""What one run is: the version, the signature, where columns go; and what tells two runs apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from exporter.batch import files
from exporter.batch.shards import Shard
from exporter.choices import AnswerFormat
from exporter.errors import OptionError, OutputError, did_you_mean, shown
from exporter.manifest import Manifest, SignatureInfo

JOB_FILE = "job.json"
#: How the names begin of what says that results are whole, and of all that a run writes.
_MARKS = (JOB_FILE, "done-")
_OURS = (*_MARKS, "answers-", "errors-")


@dataclass(frozen=True)
class Job:
    """One run over a corpus.

    Attributes:
      model: the version's directory, OUT/NAME/VERSION, where every worker finds it.
      signature: which one answers.
      output: the folder of the results.
      columns: input of the signature -> column of the corpus; others have columns of their own names.
      constants: input of the signature -> its value in every row without such a column.
      id_column: whose values are the rows' ids; None: file and number.
      seed: what seeds are made of, with the rows' ids.
      output_kind: format of the results.
    """

    model: str
    signature: str
    output: str
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    id_column: str | None = None
    seed: int = 0
    output_kind: AnswerFormat = "jsonl"


def signature_of(manifest: Manifest, job: Job) -> SignatureInfo:
    """The job's signature.

    Raises:
      OptionError: none of that name, one whose rows are ids, an input that it does not have, or a version
        in which a bad row fails its batch.
    """
    if job.signature not in manifest.signatures:
        raise OptionError(
            f"signature {job.signature!r}: the version has none of that name"
            f"{did_you_mean(job.signature, manifest.signatures)}; allowed: {', '.join(manifest.signatures)}"
        )
    info = manifest.signatures[job.signature]
    if wide := [name for name, tensor in info.inputs.items() if len(tensor.shape) > 1]:
        raise OptionError(
            f"signature {job.signature!r}: its input {wide[0]!r} holds several values a row; a batch job "
            "asks signatures of one value a row, such as serving_default"
        )
    for option, named in (("column", job.columns), ("option", job.constants)):
        for name in named:
            if name not in info.inputs:
                raise OptionError(
                    f"{option}: signature {job.signature!r} has no input {name!r}"
                    f"{did_you_mean(name, info.inputs)}; it takes {', '.join(info.inputs)}"
                )
    if manifest.options.get("row_errors") == "raise":
        raise OptionError(
            f"model {job.model}: exported with --row-errors raise, so that a bad row would fail its batch"
        )
    return info


def begin(job: Job, shards: Sequence[Shard], shard_rows: int, manifest: Manifest, *, overwrite: bool) -> None:
    """Makes the output folder; one that an earlier run of the same job left stays as it is.

    Args:
      shard_rows: how many rows a shard has at most.
      manifest: the version's.
      overwrite: starts anew whatever is there.

    Raises:
      OutputError: the folder holds results of another job.
    """
    files.make_folder(job.output)
    path = files.join(job.output, JOB_FILE)
    own = describe(job, shards, shard_rows, manifest)
    left = files.inside(job.output)
    if overwrite:
        _clear([name for name in left if _name(name).startswith(_OURS)])
    elif any(_name(name) == JOB_FILE for name in left):
        _refuse_other(_read(path), own, job.output)
        return
    elif left:
        raise OutputError(
            f"output {job.output}: it holds files, but no {JOB_FILE} of a batch job; choose an empty folder, "
            "or --overwrite"
        )
    files.replace(path, (json.dumps(own, indent=2) + "\n").encode())


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _clear(paths: Sequence[str]) -> None:
    """Deletes results. What says that others are whole goes first: a kill leaves no mark without them."""
    marks = [path for path in paths if _name(path).startswith(_MARKS)]
    files.remove(marks)
    files.remove([path for path in paths if path not in marks])


def _read(path: str) -> dict[str, Any]:
    with files.open_to_read(path) as file:
        try:
            found = json.loads(file.read())
        except ValueError:
            found = None
    if not isinstance(found, dict) or not isinstance(found.get("inputs"), dict):
        raise OutputError(f"{path}: it is of no batch job; choose another folder, or --overwrite")
    return found


def _refuse_other(found: dict[str, Any], own: dict[str, Any], output: str) -> None:
    was, now = _flat(found), _flat(own)
    for key in was | now:
        if was.get(key) != now.get(key):
            raise OutputError(
                f"output {output}: it holds results of another job ({key} was {shown(was.get(key))}, is "
                f"{shown(now.get(key))}); choose another folder, or --overwrite"
            )


def _flat(described: Mapping[str, Any]) -> dict[str, Any]:
    """What ``describe`` says, each input by itself."""
    inputs = {f"SHA-256 of input {path}": digest for path, digest in described.get("inputs", {}).items()}
    return {**{key: value for key, value in described.items() if key != "inputs"}, **inputs}


def describe(job: Job, shards: Sequence[Shard], shard_rows: int, manifest: Manifest) -> dict[str, Any]:
    """What has to be the same for a run to go on where another one ended."""
    facts = {name: value for name, value in asdict(job).items() if name not in {"output", "model"}}
    inputs = {shard.path: shard.sha256 for shard in shards}
    more = {"version": _digest(manifest), "inputs": inputs, "shard_rows": shard_rows}
    return {**json.loads(json.dumps(facts)), **more}


def _digest(manifest: Manifest) -> str:
    """One of all files of a version."""
    listed = json.dumps([file.model_dump() for file in manifest.files])
    return hashlib.sha256(listed.encode()).hexdigest()
