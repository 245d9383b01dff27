"""A case's program as serialized HLO with its weights as parameters: they need not exist to be compiled over.

The parameters are those of the served program (``exporter.saved_model.programs``): tokens, lengths, live, the
per-row values sorted by name; then the weights by our names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import tensorflow as tf

from exporter.families import FAMILIES, read_spec
from exporter.families.int8 import Int8Weights
from exporter.families.stored_weights import StoredWeights
from exporter.families.ties import find_tables
from exporter.families.weights import plan
from exporter.generation.generation_options import GenerationOptions, resolve_options
from exporter.generation.rows import default_rows
from exporter.manifest import Buckets
from exporter.model import build_model, unwritten_variables
from exporter.saved_model.programs import Programs
from exporter.saved_model.served import ProgramKey
from exporter.spec import ModelSpec, MoeSpec
from exporter.targets import compiled_for
from exporter.weights import WeightInfo
from scripts.benchmarks.gpu_kit.cases import STRATEGIES, Case

Infos = Mapping[str, WeightInfo]


@dataclass(frozen=True)
class Traced:
    """``hlo``: a serialized HloModuleProto; ``parameters``, ``outputs``: in its order."""

    hlo: bytes
    parameters: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def weight_infos(case: Case, spec: ModelSpec) -> Infos:
    """Shapes and dtypes of the weights that a checkpoint of ``spec`` would have; nothing is allocated."""
    names = FAMILIES[spec.model_type].names_for(spec)
    dtype = tf.as_dtype(case.dtype).as_numpy_dtype
    weights = StoredWeights(list(plan(spec, names, find_tables(spec, names, {}))), {}, dtype)
    return Int8Weights(weights, tables=False).infos if case.weights == "int8" else weights.infos


def trace_case(case: Case) -> tuple[Traced, dict[str, Any]]:
    """The program, and what the index says of it beside its parameters."""
    spec = read_spec(case.config)
    options = resolve_options(
        None,
        case.config,
        {"max_new_tokens": case.new_tokens, "pad_token_id": 0, "eos_token_id": None}
        | STRATEGIES[case.strategy],
        vocab_size=spec.vocab_size,
        context_length=spec.context_length,
    )
    infos = weight_infos(case, spec)
    traced = trace(
        spec, infos, options, case.batch, case.prompt, case.dtype, row_options=case.strategy == "generate"
    )
    return traced, {
        "row_values": row_values(options, traced.parameters),
        "step_bytes": step_bytes(spec, infos, case),
        "prefill_flops": prefill_flops(spec, infos, case),
        "weights_bytes": sum(info.nbytes for info in infos.values()),
        "vocab_size": spec.vocab_size,
    }


def trace(
    spec: ModelSpec,
    infos: Infos,
    options: GenerationOptions,
    batch: int,
    prompt: int,
    dtype: str,
    *,
    row_options: bool,
) -> Traced:
    """The program of ``options`` for the GPU, in one bucket; of weights only shapes and dtypes are needed."""
    buckets = Buckets(prompt_lengths=(prompt,), batch_sizes=(batch,))
    with compiled_for("gpu"), tf.Graph().as_default():
        model = build_model(spec, unwritten_variables(infos), tf.as_dtype(dtype).as_numpy_dtype)
    with compiled_for("gpu"):
        programs = Programs(model, buckets, options.pad_token_id, None)
        program = programs.get(ProgramKey("generation", options, row_options)).program
        rows = {name: program.per_row[name] for name in sorted(program.per_row)}
        parameters = [
            _parameter("tokens", (batch, prompt), tf.int32),
            _parameter("lengths", (batch,), tf.int32),
            _parameter("live", (batch,), tf.bool),
            *(_parameter("row", (batch,), spec.dtype, name) for name, spec in rows.items()),
            *(
                _parameter("weight", info.shape, tf.as_dtype(info.dtype), name)
                for name, info in sorted(infos.items())
            ),
        ]

        def whole(*values: tf.Tensor) -> dict[str, tf.Tensor]:
            per_row = dict(zip(rows, values[3:], strict=False))
            model.weights = dict(zip(sorted(infos), values[3 + len(rows) :], strict=True))
            return program.compiled.python_function(*values[:3], per_row)

        function = tf.function(whole, jit_compile=True, autograph=False)
        specs = [tf.TensorSpec(each["shape"], each["dtype"]) for each in parameters]
        outputs = function.get_concrete_function(*specs).structured_outputs
        hlo = function.experimental_get_compiler_ir(*specs)(stage="hlo_serialized", platform_name="GPU")
    named = [{"name": name, "dtype": value.dtype.name} for name, value in sorted(outputs.items())]
    return Traced(hlo, parameters, named)


def _parameter(kind: str, shape: Iterable[int], dtype: tf.DType, name: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "name": name or kind, "shape": list(shape), "dtype": dtype.name}


def row_values(options: GenerationOptions, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """The options' own value of every per-row parameter."""
    defaults = default_rows(options, 1)._asdict()
    return {
        each["name"]: defaults[each["name"]][0].numpy().item() for each in parameters if each["kind"] == "row"
    }


def step_bytes(spec: ModelSpec, infos: Infos, case: Case) -> int:
    """Bytes of weights that a decoding step must read: all but token and position tables.

    Of a mixture's experts as many as its tokens can choose at most.
    """
    rows = case.batch * STRATEGIES[case.strategy].get("num_beams", 1)
    return round(sum(info.nbytes * _read(spec, infos, name, rows) for name, info in infos.items()))


def _read(spec: ModelSpec, infos: Infos, name: str, rows: int) -> float:
    """The share of a weight that ``rows`` tokens read."""
    if name.startswith("embedding.") and ("head.kernel" in infos or name != "embedding.tokens"):
        return 0.0
    experts = _experts(spec, infos, name)
    return min(1.0, rows * experts.top_k / experts.experts) if experts else 1.0


def _experts(spec: ModelSpec, infos: Infos, name: str) -> MoeSpec | None:
    """The mixture whose experts' weight ``name`` is: those have an axis more."""
    if ".moe.up." not in name and ".moe.down." not in name:
        return None
    layer = spec.decoder.layers[int(name.split(".")[1])].mlp
    return layer if isinstance(layer, MoeSpec) else None


def prefill_flops(spec: ModelSpec, infos: Infos, case: Case) -> int:
    """Operations that reading the prompts needs: two a kernel's number and token, and causal attention.

    The output head is needed for the last token alone.
    """
    tokens, total = case.batch * case.prompt, 0
    for name, info in infos.items():
        if not name.startswith("layers.") or not name.endswith(".kernel"):
            continue
        experts = _experts(spec, infos, name)
        share = experts.top_k / experts.experts if experts else 1.0
        total += round(2 * tokens * prod(info.shape) * share)
    for own in spec.decoder.attentions:
        # Scores and their sum over values, half of each by causality.
        total += case.batch * case.prompt**2 * own.heads * sum(own.widths)
    return total + 2 * case.batch * spec.vocab_size * spec.hidden_size
