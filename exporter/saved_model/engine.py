"""Compiled programs: one ``tf.function(jit_compile=True)`` per set of static generation options."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from exporter.generation import generate
from exporter.generation.options import GenerationOptions
from exporter.generation.rows import RowOptions, default_rows, resolve_seeds
from exporter.generation.step import Prompt, StepModel
from exporter.saved_model.manifest import Buckets
from exporter.saved_model.padding import CPU, map_in_buckets
from exporter.saved_model.requests import Rows


class Program:
    """Prefill and decode loop under one set of static options.

    The compiled function is polymorphic in batch and length: it is traced once, here, and XLA specialises
    it for every bucket that reaches it. Per-row options are tensors: they never retrace or recompile.

    Deliberately no tf.Module: a tracked tf.function is traced a second time when it is saved. The signatures
    hold the traced one.
    """

    def __init__(
        self, model: StepModel, options: GenerationOptions, buckets: Buckets, *, row_options: bool
    ) -> None:
        self.options = options
        self._buckets = buckets

        def compiled(
            tokens: tf.Tensor, lengths: tf.Tensor, live: tf.Tensor, per_row: dict[str, tf.Tensor]
        ) -> dict[str, tf.Tensor]:
            rows = RowOptions(**per_row, finished=~live)
            prompt = Prompt(tokens=tokens, lengths=lengths)
            answer = generate(model, prompt, options, rows, row_options=row_options)
            # Outputs that the options do not ask for are None.
            return {name: value for name, value in answer._asdict().items() if value is not None}

        per_row = self._per_row(default_rows(options, tf.constant(1)))
        self.compiled = tf.function(
            compiled,
            jit_compile=True,
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, None], tf.int32, "tokens"),
                tf.TensorSpec([None], tf.int32, "lengths"),
                tf.TensorSpec([None], tf.bool, "live"),
                {name: tf.TensorSpec([None], value.dtype, name) for name, value in per_row.items()},
            ],
        )
        traced = self.compiled.get_concrete_function()
        self._outputs: dict[str, tf.TensorSpec] = traced.structured_outputs

    @staticmethod
    def _per_row(rows: RowOptions) -> dict[str, tf.Tensor]:
        return {name: value for name, value in rows._asdict().items() if name != "finished"}

    def run(self, rows: Rows, row_options: RowOptions | None = None) -> dict[str, tf.Tensor]:
        """Answers all rows; those with an error are finished from the start.

        Args:
          rows: the prompts.
          row_options: per-row options of [batch] tensors; None takes the exported defaults.

        Returns:
          The fields of ``Generated`` by name, dim 0 = batch.
        """
        with tf.device(CPU):
            batch = tf.shape(rows.error)[0]
            per_row = self._per_row(default_rows(self.options, batch) if row_options is None else row_options)
            per_row["seed"] = resolve_seeds(per_row["seed"])
            live = tf.equal(rows.error, "")
        return map_in_buckets(
            self.compiled,
            self._outputs,
            rows.tokens,
            per_row,
            live=live,
            buckets=self._buckets,
            pad_token_id=self.options.pad_token_id,
        )


def programs_by_options(model: StepModel, buckets: Buckets) -> Any:
    """A factory that builds each program once, so that signatures with equal options share it."""
    built: dict[tuple[GenerationOptions, bool], Program] = {}

    def program(options: GenerationOptions, *, row_options: bool = False) -> Program:
        key = (options, row_options)
        if key not in built:
            built[key] = Program(model, options, buckets, row_options=row_options)
        return built[key]

    return program
