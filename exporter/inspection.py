"""What a checkpoint is, and whether it can be exported: answered from its headers, before any export."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.checkpoint import Checkpoint, StoredTensor, open_checkpoint
from exporter.errors import CheckpointError, UnsupportedError
from exporter.families import FAMILIES, read_spec, unread_notes
from exporter.families.load import check
from exporter.spec import (
    AttentionSpec,
    GatedDeltaSpec,
    Mamba2Spec,
    MambaSpec,
    ModelSpec,
    MoeSpec,
    RgLruSpec,
    ShortConvSpec,
    WkvSpec,
)

#: What layers carry beside keys and values.
STATES: dict[type[Any], str] = {
    GatedDeltaSpec: "gated delta net",
    Mamba2Spec: "Mamba 2",
    MambaSpec: "Mamba",
    RgLruSpec: "gated linear recurrence",
    ShortConvSpec: "short convolution",
    WkvSpec: "WKV",
}


@dataclass(frozen=True)
class Report:
    """Facts about a checkpoint.

    Attributes:
      model_type: as config.json says; None where it does not.
      supported: whether model and weights can be exported (the tokenizer is judged by itself).
      reason: why not, every problem on a line of its own; empty where it is supported.
      spec: the architecture; None where it could not be read.
      parameters: numbers that the model reads: of a supported checkpoint those used, a tied head counted
        once; of any other all floating-point numbers stored.
      stored: bytes of the stored tensors by dtype.
      notes: what was chosen or passed over, a line each.
    """

    path: Path
    model_type: str | None
    supported: bool
    reason: str
    spec: ModelSpec | None
    parameters: int
    stored: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Several lines for a terminal."""
        lines = [f"{self.path}: model_type {self.model_type or 'missing'}"]
        if self.spec:
            lines += [f"  {name:<15}{value}" for name, value in _facts(self.spec)]
        kinds = ", ".join(f"{size:,} bytes of {dtype}" for dtype, size in self.stored.items())
        lines += [
            f"  {'parameters':<15}{self.parameters:,}",
            f"  {'stored':<15}{kinds or 'nothing readable'}",
        ]
        lines += [f"  {'note':<15}{note}" for note in self.notes]
        lines.append("supported" if self.supported else f"not supported: {self.reason}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for a program; the keys are those of docs/command-line.md."""
        return {
            "path": str(self.path),
            "model_type": self.model_type,
            "supported": self.supported,
            "reason": self.reason,
            "parameters": self.parameters,
            "stored_bytes": dict(self.stored),
            "notes": list(self.notes),
            "model": self.spec and _numbers(self.spec),
        }


def inspect_checkpoint(path: Path, notes: tuple[str, ...] = ()) -> Report:
    """Reads config.json and the headers of the weights; ``notes`` are kept in front of what is found.

    Raises:
      CheckpointError: there is no checkpoint at all: no directory, or no readable config.json.
    """
    checkpoint = open_checkpoint(path)
    model_type = checkpoint.config.get("model_type")
    spec, problems = None, []
    try:
        spec = read_spec(checkpoint.config)
    except UnsupportedError as error:
        problems.append(str(error))
    try:
        tensors: Mapping[str, StoredTensor] = checkpoint.tensors
        parameters = _used(spec, checkpoint) if spec else _floating(tensors)
    except CheckpointError as error:
        problems.append(str(error))
        tensors, parameters = _readable(checkpoint)
    return Report(
        path=checkpoint.place,
        model_type=None if model_type is None else str(model_type),
        supported=not problems,
        reason="\n".join(problems),
        spec=spec,
        parameters=parameters,
        stored=_bytes_by_dtype(tensors),
        notes=(*notes, *checkpoint.notes, *(unread_notes(spec) if spec else ())),
    )


def _used(spec: ModelSpec, checkpoint: Checkpoint) -> int:
    """Numbers in the tensors that the model is made of; raises CheckpointError where they do not fit."""
    found = check(spec, FAMILIES[spec.model_type].names_for(spec), checkpoint)
    shapes = {part.name: part.shape for part in found.parts}
    return sum(math.prod(shape) for shape in shapes.values())


def _floating(tensors: Mapping[str, StoredTensor]) -> int:
    return sum(tensor.size for tensor in tensors.values() if tensor.floating)


def _readable(checkpoint: Checkpoint) -> tuple[Mapping[str, StoredTensor], int]:
    """What can be said of weights that do not fit: their tensors where the files are whole, else nothing."""
    try:
        return checkpoint.tensors, _floating(checkpoint.tensors)
    except CheckpointError:
        return {}, 0


def _bytes_by_dtype(tensors: Mapping[str, StoredTensor]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for tensor in tensors.values():
        counted[tensor.dtype] += tensor.nbytes
    return dict(counted.most_common())


def _numbers(spec: ModelSpec) -> dict[str, Any]:
    """The architecture's sizes; those of attention are the first layer's that has one, 0 where none has."""
    layers, attentions = spec.decoder.layers, spec.decoder.attentions
    attention = attentions[0] if attentions else None
    mixtures = _mixtures(spec)
    return {
        "kind": spec.kind,
        "layers": len(layers),
        "encoder_layers": len(spec.encoder.layers) if spec.encoder else 0,
        "hidden_size": spec.hidden_size,
        "vocab_size": spec.vocab_size,
        "heads": attention.heads if attention else 0,
        "kv_heads": attention.kv_heads if attention else 0,
        "head_dim": attention.head_dim if attention else 0,
        "latent": attention is not None and attention.latent is not None,
        "context_length": spec.context_length,
        "context_is_hard": spec.context_is_hard,
        "windows": [layer.attention and layer.attention.window for layer in layers],
        "states": [layer.state and STATES[type(layer.state)] for layer in layers],
        "experts": mixtures[0].experts if mixtures else 0,
        "experts_per_token": mixtures[0].top_k if mixtures else 0,
        "tied_head": spec.head.tied,
    }


def _mixtures(spec: ModelSpec) -> list[MoeSpec]:
    """Of every layer that has one, in the place of a dense block or beside it."""
    layers = spec.decoder.layers
    found = [layer.mlp for layer in layers if isinstance(layer.mlp, MoeSpec)]
    return found + [layer.beside.mixture for layer in layers if layer.beside]


def _facts(spec: ModelSpec) -> list[tuple[str, str]]:
    """Name and value of what is worth a line."""
    layers, attentions, states = spec.decoder.layers, spec.decoder.attentions, spec.decoder.states
    bound = "" if spec.context_is_hard or spec.context_length is None else " (as trained; not a bound)"
    facts = [
        ("kind", spec.kind.replace("_", "-")),
        (
            "layers",
            f"{len(layers)}" + (f" and {len(spec.encoder.layers)} encoder layers" if spec.encoder else ""),
        ),
        ("hidden size", f"{spec.hidden_size}, vocabulary {spec.vocab_size}"),
        *([("attention", _attention(attentions[0], len(attentions), len(layers)))] if attentions else []),
        *(
            [("state", f"{STATES[type(states[0])]} in {len(states)} of {len(layers)} layers")]
            if states
            else []
        ),
        ("context length", f"{spec.context_length or 'unbounded'}{bound}"),
        ("output head", "tied to the embedding" if spec.head.tied else "weights of its own"),
    ]
    windows = sorted({attention.window for attention in attentions if attention.window is not None})
    if windows:
        windowed = sum(attention.window is not None for attention in attentions)
        kind = "chunks" if any(attention.chunked for attention in attentions) else "sliding window"
        facts.append((kind, f"{', '.join(map(str, windows))} in {windowed} of {len(layers)} layers"))
    mixtures = _mixtures(spec)
    if mixtures:
        facts.append(
            ("experts", f"{mixtures[0].experts}, {mixtures[0].top_k} a token, in {len(mixtures)} layers")
        )
    return facts


def _attention(spec: AttentionSpec, count: int, layers: int) -> str:
    positions = "rotary" if spec.rotary else "ALiBi" if spec.alibi else ""
    scaling = f" ({spec.rotary.kind.value})" if spec.rotary and spec.rotary.kind.value != "default" else ""
    key, value = spec.widths
    width = f"{key}" if key == value else f"{key} (values of {value})"
    heads = f"{spec.heads} heads of {width}, {spec.kv_heads} of keys and values"
    if latent := spec.latent:
        heads = f"{spec.heads} heads of {key} (values of {value}), of one latent of {latent.width} a token"
    heads += "" if count == layers else f", in {count} of {layers} layers"
    return f"{heads}, {positions}{scaling}" if positions else heads
