"""The Keras model that owns everything a served version needs: variables, tables, programs, signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from exporter.errors import OptionError
from exporter.generation.options import GenerationOptions
from exporter.generation.step import StepModel
from exporter.generation.stop import StopAutomaton
from exporter.options import ExportOptions
from exporter.saved_model.engine import Engine, GenerationProgram, Program
from exporter.saved_model.languages import LanguageTokenizer
from exporter.saved_model.manifest import Buckets, SignatureInfo, TensorInfo
from exporter.saved_model.signatures import (
    Policy,
    Signature,
    decode_signature,
    encode_signature,
    generate_signature,
    next_token_signature,
    score_signature,
    text_signature,
    tokens_signature,
)

if TYPE_CHECKING:
    from exporter.prefix import Prefix
    from exporter.tokenizer import TokenizerGraph


class TextGenerator(keras.Model):
    """Text to text, as TensorFlow Serving will run it.

    Attributes:
      step_model: the transformer and its variables.
      tokenizer: the tokenizer graph and its tables; None with ``--tokenizer none``.
      served: signature name -> traced function.
      lengths: signature name -> the length buckets that its requests are meant for.
    """

    def __init__(
        self,
        step_model: StepModel,
        tokenizer: TokenizerGraph | None,
        generation: GenerationOptions,
        presets: Mapping[str, GenerationOptions],
        buckets: Buckets,
        options: ExportOptions,
        *,
        preset_tokenizers: Mapping[str, TokenizerGraph],
        prefix: Prefix | None = None,
    ) -> None:
        """Traces every signature.

        Args:
          preset_tokenizers: those of presets that do not read texts as ``tokenizer`` does.
          prefix: what ``step_model`` has baked, and ``tokenizer`` reads texts behind.
        """
        super().__init__(name="text_generator")
        self.step_model = step_model
        self.tokenizer = tokenizer
        # StopAutomaton modules by their stop strings: tracked, because they own tables.
        self.stops: dict[str, StopAutomaton] = {}
        self._engine = Engine(
            step_model,
            buckets,
            generation.pad_token_id,
            generation.decoder_start_token_id,
            prefix.tokens if prefix else (),
        )
        self._preset_tokenizers = dict(preset_tokenizers)
        self._programs: dict[str, GenerationProgram | Program] = {}
        self.served: dict[str, Signature] = {}
        self.lengths: dict[str, tuple[int, ...]] = {}
        self._buckets = buckets
        self._split = options.split_by_length
        policy = Policy(
            buckets.prompt_lengths[-1],
            options.overflow,
            options.row_errors,
            outputs=options.outputs,
            echo=options.echo,
            prefix=prefix,
        )
        self._serve_tokens(generation, policy)
        if tokenizer is not None:
            self._serve_text(tokenizer, {"serving_default": generation, **presets}, policy)
            self._serve_extras(tokenizer, generation, options, policy)
            self._serve_tokenizer(tokenizer, generation, policy)

    def _serve(
        self,
        name: str,
        program: GenerationProgram | Program,
        policy: Policy,
        build: Callable[[Policy], Signature],
    ) -> None:
        """Serves a program for prompts of every length, and where asked for once more per length bucket.

        These signatures share the program; each has placeholders, and so a queue of a server's batcher, of
        its own.
        """
        lengths = self._buckets.prompt_lengths
        self._programs[name] = program
        self._add(name, build(policy), lengths)
        if not self._split:
            return
        for length, longer in zip(lengths, (*lengths[1:], None), strict=True):
            own = policy._replace(longest=length)
            if longer is not None:
                own = own._replace(overflow="error", advice=f"; {name}_{longer} takes up to {longer}")
            self._add(f"{name}_{length}", build(own), (length,))

    def _add(self, name: str, signature: Signature, lengths: tuple[int, ...]) -> None:
        if name in self.served:
            raise OptionError(f"split_by_length: two signatures would be called {name!r}; rename the preset")
        self.served[name], self.lengths[name] = signature, lengths

    def _serve_tokens(self, generation: GenerationOptions, policy: Policy) -> None:
        program, vocab_size = self._generation(generation), self.step_model.vocab_size
        self._serve(
            "tokens",
            program,
            policy,
            lambda own: tokens_signature(program, vocab_size=vocab_size, policy=own),
        )

    def _serve_text(
        self, tokenizer: TokenizerGraph, presets: Mapping[str, GenerationOptions], policy: Policy
    ) -> None:
        for name, preset in presets.items():
            reader = self._preset_tokenizers.get(name, tokenizer)
            program = self._generation(preset)
            self._serve(name, program, policy, partial(text_signature, program, reader))

    def _serve_extras(
        self,
        tokenizer: TokenizerGraph,
        generation: GenerationOptions,
        options: ExportOptions,
        policy: Policy,
    ) -> None:
        if "generate" in options.extra_signatures:
            program = self._generation(_single_sequence(generation), row_options=True)
            self._serve("generate", program, policy, partial(generate_signature, program, tokenizer))
        if "score" in options.extra_signatures:
            width = generation.max_new_tokens
            self._programs["score"] = scoring = self._engine.score(width)
            targets = tokenizer.of_target() if isinstance(tokenizer, LanguageTokenizer) else tokenizer
            self.served["score"] = score_signature(scoring, tokenizer, targets, policy, width=width)
        if "next_token" in options.extra_signatures:
            n = min(options.next_tokens, self.step_model.vocab_size)
            self._programs["next_token"] = following = self._engine.next_token(n)
            self.served["next_token"] = next_token_signature(following, tokenizer, policy)

    def _serve_tokenizer(
        self, tokenizer: TokenizerGraph, generation: GenerationOptions, policy: Policy
    ) -> None:
        self.served["encode"] = encode_signature(
            tokenizer, pad_token_id=generation.pad_token_id, row_errors=policy.row_errors
        )
        self.served["decode"] = decode_signature(
            tokenizer,
            vocab_size=self.step_model.vocab_size,
            # Wide enough for a prompt with its continuation.
            width=policy.longest + generation.max_new_tokens,
            row_errors=policy.row_errors,
        )

    def _generation(self, options: GenerationOptions, *, row_options: bool = False) -> GenerationProgram:
        return self._engine.generation(options, row_options=row_options, stop=self._stop(options))

    def _stop(self, options: GenerationOptions) -> StopAutomaton | None:
        if not options.stop_strings:
            return None
        if self.tokenizer is None:
            raise OptionError("stop_strings: a tokenizer is needed; '--tokenizer none' stops at ids only")
        key = repr(options.stop_strings)
        if key not in self.stops:
            vocabulary = self.tokenizer.token_bytes(self.step_model.vocab_size)
            self.stops[key] = StopAutomaton(options.stop_strings, vocabulary)
        return self.stops[key]

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
