"""The Keras model that owns everything a served version needs: variables, tables, programs, signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from exporter.devices import CPU
from exporter.errors import OptionError
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.guides import Guides
from exporter.generation.step import PromptModel
from exporter.generation.stop import StopAutomaton
from exporter.manifest import WARM_UP, Buckets, SignatureInfo, TensorInfo
from exporter.options import ExportOptions
from exporter.prompts.chat import SEGMENTS, Chat
from exporter.prompts.language_tokenizer import LanguageTokenizer
from exporter.prompts.templates import Template
from exporter.saved_model.chat_signatures import chat_signature, encode_segments_signature, template_signature
from exporter.saved_model.programs import Programs
from exporter.saved_model.question_signatures import (
    next_token_signature,
    prompt_logprobs_signature,
    score_signature,
)
from exporter.saved_model.resuming import resume_signature
from exporter.saved_model.served import Guided, ProgramKey, Served, programs_of
from exporter.saved_model.signatures import (
    Policy,
    Signature,
    decode_signature,
    encode_signature,
    generate_signature,
    generate_tokens_signature,
    text_signature,
    tokens_signature,
)
from exporter.saved_model.warming import warm_up_signature
from exporter.saved_model.weights_writer import write_weights

if TYPE_CHECKING:
    from exporter.guides import GuideTable
    from exporter.prompts.prefix import Prefix
    from exporter.tokenizer import TokenizerGraph
    from exporter.weights import Weights


class TextGenerator(keras.Model):
    """Text to text, as TensorFlow Serving will run it.

    Attributes:
      step_model: the transformer and its variables.
      tokenizer: the tokenizer graph and its tables; None with ``--tokenizer none``.
      served: signature name -> traced function.
      answer_limit: int32, the most tokens of an answer whose signature does not ask for a number. No server
        changes it; who loads a version in Python may, to see how it begins to answer (``asking.load``).
    """

    def __init__(
        self,
        step_model: PromptModel,
        tokenizer: TokenizerGraph | None,
        generation: GenerationOptions,
        served: Sequence[Served],
        buckets: Buckets,
        options: ExportOptions,
        *,
        preset_tokenizers: Mapping[str, TokenizerGraph],
        guide_tables: Mapping[Guided, GuideTable] | None = None,
        prefix: Prefix | None = None,
        chat: Chat | None = None,
        templates: Mapping[str, Template] | None = None,
    ) -> None:
        """Traces every signature.

        Args:
          generation: the exported defaults.
          served: which signatures.
          preset_tokenizers: those of presets that do not read texts as ``tokenizer`` does.
          guide_tables: of every guide that an answer may follow.
          prefix: what ``step_model`` has baked, and ``tokenizer`` reads texts behind.
          chat: the chat template that is served; where it has a prefix, that is what is baked.
          templates: of presets that have one, and of ``template`` as "serving_default".
        """
        super().__init__(name="text_generator")
        self.step_model = step_model
        self.tokenizer = tokenizer
        # StopAutomaton modules by their stop strings: tracked, because they own tables.
        self.stops: dict[str, StopAutomaton] = {}
        # Guides by ``ProgramKey.guides_name``: these own tables too.
        self.guides: dict[str, Guides] = {}
        with tf.device(CPU):
            self.answer_limit = tf.Variable(
                tf.int32.max, trainable=False, dtype=tf.int32, name="answer_limit"
            )
        self._generation = generation
        self._preset_tokenizers = dict(preset_tokenizers)
        self._chat = chat
        self._templates = dict(templates or {})
        self._guide_tables = dict(guide_tables or {})
        self._programs = Programs(
            step_model,
            buckets,
            generation.pad_token_id,
            generation.decoder_start_token_id,
            self.answer_limit,
        )
        policy = Policy(
            buckets.prompt_lengths[-1],
            options.overflow,
            options.row_errors,
            outputs=options.outputs,
            echo=options.echo,
            prefix=prefix,
            vocab_size=step_model.vocab_size,
        )
        self.served: dict[str, Signature] = {
            signature.name: self._traced(signature, policy) for signature in served
        }
        if options.warmup != "none":
            programs = [self._program(key) for key in programs_of(served)]
            self.served[WARM_UP] = warm_up_signature(programs, policy)

    def _traced(self, served: Served, policy: Policy) -> Signature:
        own = policy._replace(longest=served.lengths[-1], overflow=served.overflow, advice=served.advice)
        tokenizer: Any = self._preset_tokenizers.get(served.preset, self.tokenizer)
        vocab_size, pad = self.step_model.vocab_size, self._generation.pad_token_id
        program = self._program(served.program)
        match served.kind:
            case "tokens":
                return tokens_signature(program, vocab_size=vocab_size, policy=own)
            case "text":
                return text_signature(program, tokenizer, own)
            case "generate":
                return generate_signature(program, tokenizer, own)
            case "generate_tokens":
                return generate_tokens_signature(program, tokenizer, vocab_size=vocab_size, policy=own)
            case "resume":
                return resume_signature(program, tokenizer, vocab_size=vocab_size, policy=own)
            case "score":
                targets = tokenizer.of_target() if isinstance(tokenizer, LanguageTokenizer) else tokenizer
                return score_signature(program, tokenizer, targets, own)
            case "next_token":
                return next_token_signature(program, tokenizer, own)
            case "prompt_logprobs":
                return prompt_logprobs_signature(program, vocab_size=vocab_size, policy=own)
            case "template":
                return template_signature(program, tokenizer, self._templates[served.preset], own)
            case "chat":
                assert self._chat is not None
                return chat_signature(program, tokenizer, self._chat, own)
            case "encode_segments":
                assert self._chat is not None
                return encode_segments_signature(
                    tokenizer,
                    self._chat.guarded,
                    count=SEGMENTS,
                    pad_token_id=pad,
                    row_errors=own.row_errors,
                )
            case "encode":
                return encode_signature(tokenizer, pad_token_id=pad, row_errors=own.row_errors)
            case "decode":
                # Wide enough for a prompt with its continuation.
                width = own.longest + self._generation.max_new_tokens
                return decode_signature(
                    tokenizer, vocab_size=vocab_size, width=width, row_errors=own.row_errors
                )

    def _program(self, key: ProgramKey | None) -> Any:
        if key is None:
            return None
        stop = self._stop(key.options) if key.options else None
        return self._programs.get(key, stop, self._guides(key))

    def _guides(self, key: ProgramKey) -> Guides | None:
        if not key.guided:
            return None
        if key.guides_name not in self.guides:
            self.guides[key.guides_name] = Guides([self._guide_tables[guided] for guided in key.guided])
        return self.guides[key.guides_name]

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

    def save_version(self, directory: Path, weights: Weights | None = None) -> None:
        """Writes saved_model.pb, variables/ and assets/ into an existing directory.

        Args:
          weights: what a step model of unwritten variables was traced without; read one after the other.
        """
        functions = {name: signature.function for name, signature in self.served.items()}
        tf.saved_model.save(self, str(directory), signatures=functions)
        if weights is not None:
            write_weights(directory, ("step_model", "weights"), weights)

    def signature_infos(self) -> dict[str, SignatureInfo]:
        """Names, dtypes and shapes of every signature, for the manifest."""
        return {name: _signature_info(signature) for name, signature in self.served.items()}


def _signature_info(signature: Signature) -> SignatureInfo:
    return SignatureInfo(
        inputs={name: _tensor_info(spec) for name, spec in signature.inputs.items()},
        outputs={name: _tensor_info(spec) for name, spec in signature.outputs.items()},
    )


def _tensor_info(spec: Any) -> TensorInfo:
    return TensorInfo(dtype=spec.dtype.name, shape=tuple(spec.shape.as_list()))
