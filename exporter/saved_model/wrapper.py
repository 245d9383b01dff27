"""The Keras model that owns everything a served version needs: variables, tables, programs, signatures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from exporter.generation.options import GenerationOptions
from exporter.generation.step import StepModel
from exporter.options import ExportOptions
from exporter.saved_model.engine import programs_by_options
from exporter.saved_model.manifest import Buckets, SignatureInfo, TensorInfo
from exporter.saved_model.signatures import (
    Policy,
    Signature,
    decode_signature,
    encode_signature,
    generate_signature,
    text_signature,
    tokens_signature,
)

if TYPE_CHECKING:
    from exporter.tokenizer import TokenizerGraph


class TextGenerator(keras.Model):
    """Text to text, as TensorFlow Serving will run it.

    Attributes:
      step_model: the transformer and its variables.
      tokenizer: the tokenizer graph and its tables; None with ``--tokenizer none``.
      served: signature name -> traced function.
    """

    def __init__(
        self,
        step_model: StepModel,
        tokenizer: TokenizerGraph | None,
        generation: GenerationOptions,
        presets: Mapping[str, GenerationOptions],
        buckets: Buckets,
        options: ExportOptions,
    ) -> None:
        super().__init__(name="text_generator")
        self.step_model = step_model
        self.tokenizer = tokenizer
        self._program = programs_by_options(step_model, buckets)
        longest = buckets.prompt_lengths[-1]
        policy = Policy(
            longest, options.overflow, options.row_errors, outputs=options.outputs, echo=options.echo
        )
        vocab_size = step_model.vocab_size
        default = self._program(generation)
        self._programs = {"tokens": default}
        self.served: dict[str, Signature] = {
            "tokens": tokens_signature(default, vocab_size=vocab_size, policy=policy)
        }
        if tokenizer is None:
            return
        for name, preset in {"serving_default": generation, **presets}.items():
            self._programs[name] = self._program(preset)
            self.served[name] = text_signature(self._programs[name], tokenizer, policy)
        if "generate" in options.extra_signatures:
            self._programs["generate"] = self._program(_single_sequence(generation), row_options=True)
            self.served["generate"] = generate_signature(self._programs["generate"], tokenizer, policy)
        self.served["encode"] = encode_signature(
            tokenizer, pad_token_id=generation.pad_token_id, row_errors=options.row_errors
        )
        self.served["decode"] = decode_signature(
            tokenizer,
            vocab_size=vocab_size,
            # Wide enough for a prompt with its continuation.
            width=longest + generation.max_new_tokens,
            row_errors=options.row_errors,
        )

    def call(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [batch] -> the outputs of ``serving_default``."""
        return self.served["serving_default"].function(text=text)

    def one_signature_per_program(self) -> list[str]:
        """The fewest signatures that reach every compiled function."""
        return list({id(program): name for name, program in reversed(self._programs.items())}.values())[::-1]

    def save_version(self, directory: Path) -> None:
        """Writes saved_model.pb, variables/ and assets/ into an existing directory."""
        functions = {name: signature.function for name, signature in self.served.items()}
        tf.saved_model.save(self, str(directory), signatures=functions)

    def signature_infos(self) -> dict[str, SignatureInfo]:
        """Names, dtypes and shapes of every signature, for the manifest."""
        return {name: _signature_info(signature) for name, signature in self.served.items()}


def _single_sequence(options: GenerationOptions) -> GenerationOptions:
    """The exported defaults without what a row cannot choose: beams, several sequences, prompt lookup."""
    return options.model_copy(
        update={"num_beams": 1, "num_return_sequences": 1, "prompt_lookup_num_tokens": 0, "do_sample": True}
    )


def _signature_info(signature: Signature) -> SignatureInfo:
    return SignatureInfo(
        inputs={name: _tensor_info(spec) for name, spec in signature.inputs.items()},
        outputs={name: _tensor_info(spec) for name, spec in signature.outputs.items()},
    )


def _tensor_info(spec: Any) -> TensorInfo:
    return TensorInfo(dtype=spec.dtype.name, shape=tuple(spec.shape.as_list()))
