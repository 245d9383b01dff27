"""What each call sends, and how its answer is read; the same for every transport, blocking or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from exporter.client import answers
from exporter.client.answers import SignatureInfo, TensorInfo
from exporter.errors import OptionError, did_you_mean

T = TypeVar("T")
Columns = Mapping[str, list[Any]]

DEFAULT_SIGNATURE = "serving_default"
#: The inputs of ``generate`` that may be left out, with the value that switches each off.
NEUTRAL: dict[str, float | int] = {
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": -1,
    "guide": -1,
}
#: The further ones of signatures that take ids; lists are filled up with their value.
EXTRA_NEUTRAL: dict[str, float | int | bool] = {
    "stop_token_ids": -1,
    "logit_bias_ids": -1,
    "logit_bias_values": 0.0,
    "allowed_token_ids": -1,
    "bad_token_ids": -1,
    "ignore_eos": False,
    "guide": -1,
}
_NEUTRAL = NEUTRAL | EXTRA_NEUTRAL


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request by rows.

    Attributes:
      signature: its name.
      columns: input name -> one value per row.
      read_rows: from rows (columns) and their outputs to one answer per row.
    """

    signature: str
    columns: Columns
    read_rows: Callable[[Columns, Mapping[str, Any], str], list[T]]

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def parts(self, size: int) -> Iterator[Call[T]]:
        """The call in requests of at most ``size`` rows; none for no rows."""
        for start in range(0, self.rows, size or 1):
            rows = {name: column[start : start + size] for name, column in self.columns.items()}
            yield replace(self, columns=rows)

    def read(self, outputs: Mapping[str, Any]) -> list[T]:
        """One answer per row."""
        return self.read_rows(self.columns, outputs, self.signature)


def generate(
    prompts: Sequence[str], signature: str | None, options: Mapping[str, Any]
) -> tuple[str, dict[str, list[Any]]]:
    """The signature, and the columns that were given; see ``generate_call``."""
    texts = _list("prompts", prompts)
    name = signature or ("generate" if options else DEFAULT_SIGNATURE)
    return name, {"text": texts, **{key: _column(key, options[key], len(texts)) for key in options}}


def generate_call(
    signature: str, columns: dict[str, list[Any]], info: SignatureInfo | None
) -> Call[answers.Completion]:
    """``info`` of the signature, where options were given: what else it takes gets its neutral value."""
    complete = columns if info is None else with_neutral(signature, columns, info)
    return Call(signature, complete, lambda rows, *answer: answers.completions(rows["text"], *answer))


def score(prompts: Sequence[str], continuations: Sequence[str]) -> Call[answers.Score]:
    columns = {"text": _list("prompts", prompts), "continuation": _list("continuations", continuations)}
    if len(columns["text"]) != len(columns["continuation"]):
        raise OptionError(
            f"{len(prompts)} prompts, but {len(continuations)} continuations: one each is needed"
        )
    return Call("score", columns, lambda rows, *answer: answers.scores(len(rows["text"]), *answer))


def encode(texts: Sequence[str]) -> Call[answers.Encoding]:
    columns = {"text": _list("texts", texts)}
    return Call("encode", columns, lambda rows, *answer: answers.encodings(len(rows["text"]), *answer))


def next_token(prompts: Sequence[str]) -> Call[answers.NextTokens]:
    columns = {"text": _list("prompts", prompts)}
    return Call("next_token", columns, lambda rows, *answer: answers.next_tokens(len(rows["text"]), *answer))


def decode(ids: Sequence[Sequence[int]], info: SignatureInfo) -> Call[answers.Decoding]:
    """Rows are padded to the width that the signature has fixed."""
    rows = [[int(token) for token in row] for row in ids]
    longest = max(map(len, rows), default=0)
    width = width_of(info.inputs.get("input_ids")) or longest
    if longest > width:
        raise OptionError(f"ids: a row has {longest} ids; signature 'decode' takes at most {width}")
    columns: dict[str, list[Any]] = {
        "input_ids": [row + [0] * (width - len(row)) for row in rows],
        "num_tokens": [len(row) for row in rows],
    }
    return Call("decode", columns, lambda rows, *answer: answers.decodings(len(rows["num_tokens"]), *answer))


def find(signatures: Mapping[str, SignatureInfo], name: str) -> SignatureInfo:
    """A signature by name.

    Raises:
      OptionError: there is none; the message lists those that there are.
    """
    callable_names = [known for known in signatures if not known.startswith("__")]
    if name not in signatures:
        raise OptionError(
            f"the model has no signature {name!r}{did_you_mean(name, callable_names)}; "
            f"it has {', '.join(sorted(callable_names)) or 'none'}"
        )
    return signatures[name]


def limit(given: int | None, signatures: Mapping[str, SignatureInfo] | None, name: str) -> int | None:
    """The most rows of a request to a signature: as given, or less where inputs have a fixed batch size."""
    info = (signatures or {}).get(name)
    shapes = [tensor.shape for tensor in info.inputs.values()] if info else []
    sizes = [shape[0] for shape in shapes if shape and shape[0]]
    return min([*sizes, *([given] if given is not None else [])], default=None)


def check_settings(retries: int, max_batch_size: int | None) -> None:
    """A client's numbers.

    Raises:
      OptionError: one is too small.
    """
    if retries < 0:
        raise OptionError(f"retries {retries}: must be 0 or more")
    if max_batch_size is not None and max_batch_size < 1:
        raise OptionError(f"max_batch_size {max_batch_size}: must be 1 or more")


def check_rows(inputs: Mapping[str, Any], limit: int | None) -> None:
    """Refuses a request that a batching server cannot answer.

    Raises:
      OptionError: no rows, or more than ``limit``.
    """
    for name, value in inputs.items():
        rows = _size(value)
        if rows == 0:
            raise OptionError(
                f"input {name!r} has no rows: TensorFlow Serving with batching never answers an empty "
                "request and loses a thread to each"
            )
        if limit is not None and rows is not None and rows > limit:
            raise OptionError(f"input {name!r} has {rows} rows; the largest batch is {limit}")


def _size(value: Any) -> int | None:
    """Rows of nested lists or of an array; None for a scalar."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if shape else None
    return len(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else None


def with_neutral(signature: str, columns: dict[str, list[Any]], info: SignatureInfo) -> dict[str, list[Any]]:
    """The columns, and the value that switches it off for every other input of the signature.

    Raises:
      OptionError: a column that is no input, or an input that must be given.
    """
    for name in columns:
        if name not in info.inputs:
            raise OptionError(
                f"signature {signature!r} has no input {name!r}{did_you_mean(name, info.inputs)}; "
                f"it takes {', '.join(sorted(info.inputs))}"
            )
    missing = [name for name in info.inputs if name not in columns]
    if needed := [name for name in missing if name not in _NEUTRAL]:
        raise OptionError(f"signature {signature!r} needs {', '.join(sorted(needed))} too")
    rows = len(next(iter(columns.values())))
    return {**columns, **{name: [_neutral(name, info)] * rows for name in missing}}


def _neutral(name: str, info: SignatureInfo) -> Any:
    """One row's value."""
    width = width_of(info.inputs[name])
    return _NEUTRAL[name] if width is None else [_NEUTRAL[name]] * width


def width_of(tensor: TensorInfo | None) -> int | None:
    """The fixed second dimension of an input."""
    shape = (tensor.shape if tensor else None) or ()
    return shape[1] if len(shape) > 1 else None


def as_column(name: str, value: Any, rows: int, info: SignatureInfo) -> list[Any]:
    """``_column``; of an input that takes a list for each row, one list for every row is filled up.

    Raises:
      OptionError: a list that is too long, or not one value for each row.
    """
    width = width_of(info.inputs.get(name))
    if width is None:
        return _column(name, value, rows)
    items = [value] if _size(value) is None else list(value)
    if len(items) > width:
        raise OptionError(f"option {name!r} has {len(items)} values; the signature takes at most {width}")
    return [[*items, *[_NEUTRAL[name]] * (width - len(items))]] * rows


def _list(name: str, values: Sequence[Any]) -> list[Any]:
    if isinstance(values, str | bytes):
        raise OptionError(f"{name}: a list of texts is needed, got one text; write [{values!r:.80}]")
    return list(values)


def _column(name: str, value: Any, rows: int) -> list[Any]:
    """One value for every row, or a list with one for each."""
    if _size(value) is None:
        return [value] * rows
    column = list(value)
    if len(column) != rows:
        raise OptionError(f"option {name!r} has {len(column)} values for {rows} prompts")
    return column
