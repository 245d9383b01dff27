"""Checkpoints that read images or sound beside text: their text model, by what its config says.

The class that reads images runs its text model on text alone as the text model's own class does; what the two
do differently, heads and names, is told here as data. The towers' tensors are left out by name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from exporter.families.config_keys import reference_of
from exporter.families.family import Family, expect_kind
from exporter.families.names import Names
from exporter.families.reader import ConfigReader
from exporter.spec import HeadSpec, ModelSpec

#: How the reference renames what version 4 saved, in its order.
LLAVA = (
    (r"^language_model\.lm_head", "lm_head"),
    (r"^language_model", "model.language_model"),
    (r"^model\.language_model\.model", "model.language_model"),
)
TOWERS = (
    "acoustic_tokenizer_encoder",
    "aligner",
    "audio_tokenizer",
    "audio_tower",
    "connector",
    "density_router",
    "embed_audio",
    "embed_vision",
    "encoder",
    "generation_aligner",
    "generation_embeddings",
    "generation_head",
    "high_res_vision_alpha",
    "high_res_vision_model",
    "high_res_vision_neck",
    "high_res_vision_proj",
    "image_newline",
    "image_tower",
    "layerwise_projectors",
    "merger",
    "mlp1",
    "mm_projector",
    "multi_modal_projector",
    "projector",
    "qwen2_model",
    "sam_model",
    "semantic_tokenizer_encoder",
    "sound_encoder",
    "sound_projection",
    "spatial_projectors",
    "talker",
    "token2wav",
    "video_tower",
    "view_separator",
    "view_seperator",
    "vision_embed_tokens",
    "vision_encoder",
    "vision_final_layernorm",
    "vision_model",
    "vision_projection",
    "vision_projector",
    "vision_tokenizer",
    "vision_tower",
    "visual",
    "visual_embeddings_table",
    "vqmodel",
)


class Ties(enum.Enum):
    """Whose ``tie_word_embeddings`` counts."""

    OUTER = "the outer config's alone"
    EITHER = "true in either"
    FIRST = "the outer config's; where that has none, that of text_config"
    SAME = "the outer config's, which that of text_config may not contradict"
    TEXT = "that of text_config alone"
    NEVER = "no one's: the class has a head of its own"


@dataclass(frozen=True)
class Wrapped:
    """A type whose checkpoints hold another one's model.

    Attributes:
      texts: the families that ``text_config`` may be of, by model_type; the first is the default.
      old_text: where ``text_config`` stands in older configs.
      also: other names of ``texts``.
      own: the text model's code is the type's own; its keys are those of this type.
      homes: for ``texts`` that are no type of the registry the one whose code they are part of.
      names: of the text model's weights by its own class, or how they follow from its spec; None: those of
        the first of ``texts``.
      keys: of the config, which only the towers look at.
      default: what counts where there is no ``text_config``; if ``completed``, also for what one lacks.
      flat: without a ``text_config`` its keys stand in the outer config.
      tied: the default of the outer ``tie_word_embeddings``; ``ties`` says whether it counts, ``text_tied``
        is that of the inner one where either counts.
      head: the text model's soft caps and factors of logits count; else its class knows none.
      null: keys of text_config that must be null, as the class of the whole does not apply them.
      sizes: of the outer config, with their defaults, which those of the text model may not contradict.
      part: the text model's name inside the whole; "" where ``names`` are those of the whole.
      placeholders: keys of tokens in whose place another is read, with defaults: ``plain_token``, or where
        that is None the text_config's padding token.
      renames: as of ``Names``; ``aliases``: as of ``Family``.
    """

    model_type: str
    texts: Mapping[str, Family]
    also: Mapping[str, str] = field(default_factory=dict)
    old_text: str = ""
    own: bool = False
    homes: Mapping[str, str] = field(default_factory=dict)
    names: Names | Callable[[ModelSpec], Names] | None = None
    keys: tuple[str, ...] = ("image_token_id", "vision_config")
    default: Mapping[str, Any] = field(default_factory=dict)
    completed: bool = False
    flat: bool = False
    tied: bool = True
    ties: Ties = Ties.OUTER
    text_tied: bool = False
    head: bool = False
    null: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    part: str = "language_model"
    placeholders: Mapping[str, int] = field(default_factory=dict)
    plain_token: int | None = None
    renames: tuple[tuple[str, str], ...] = LLAVA
    aliases: Mapping[str, str] = field(default_factory=dict)

    def family(self) -> Family:
        """As the registry has it."""
        return Family(self.read, self.names_of, harmless=self.keys, aliases=self.aliases)

    def read(self, config: ConfigReader) -> ModelSpec:
        """The spec of ``text_config``."""
        given = config.mapping("text_config") or (config.mapping(self.old_text) if self.old_text else {})
        inner = {**self.default, **given} if self.completed else given or self.default
        kind = self._kind(config, inner)
        family = self.texts[kind]
        if self.flat and not given:
            text = config
        else:
            keys = reference_of(self.model_type if self.own else self.homes.get(kind, kind)).keys
            text = config.inner("text_config", inner, family.aliases, keys.config, keys.rope)
        text.harmless(*family.harmless, "tie_word_embeddings")
        expect_kind(text, encoder_decoder=False)
        for key in self.null:
            text.expect(key, None, why="the class that reads images does not apply it")
        spec = family.read(text)
        for key, default in self.sizes.items():
            if (size := config.integer(key, default)) != (wanted := getattr(spec, key)):
                config.wrong(key, size, f"must be that of the text model, {wanted}")
        tied = self._tied(config, text, spec)
        head = replace(spec.head, tied=tied) if self.head else HeadSpec(tied)
        spec = replace(spec, model_type=self.model_type, head=head)
        return self._with_placeholders(spec, config, text) if self.placeholders else spec

    def _tied(self, config: ConfigReader, text: ConfigReader, spec: ModelSpec) -> bool:
        key = "tie_word_embeddings"
        if self.ties in (Ties.TEXT, Ties.NEVER):
            config.harmless(key)
            return self.ties is Ties.TEXT and spec.head.tied
        if self.ties is Ties.FIRST and not config.has(key):
            return spec.head.tied
        tied = config.flag(key, self.tied, null=False)
        if self.ties is Ties.SAME:
            text.expect(key, tied, why=f"it contradicts the outer {key}")
        inner = self.text_tied if text is config else text.raw(key, self.text_tied) is True
        return tied or (self.ties is Ties.EITHER and inner)

    def _with_placeholders(self, spec: ModelSpec, config: ConfigReader, text: ConfigReader) -> ModelSpec:
        found = [config.optional_integer(key, default, 0) for key, default in self.placeholders.items()]
        plain = self.plain_token
        if plain is None:
            plain = text.optional_integer("pad_token_id", 0, 0) or 0
        embedding = replace(
            spec.decoder.embedding,
            placeholders=tuple(token for token in found if token is not None),
            plain_token=plain,
        )
        return replace(spec, decoder=replace(spec.decoder, embedding=embedding))

    def _kind(self, config: ConfigReader, given: Mapping[str, Any]) -> str:
        """The text model's type; of one that is the type's own the reference does not look at the name."""
        first = next(iter(self.texts))
        if self.own:
            return first
        kind = given.get("model_type", first)
        kind = self.also.get(kind, kind) if isinstance(kind, str) else kind
        if isinstance(kind, str) and kind in self.texts:
            return kind
        config.wrong("text_config.model_type", kind, f"must be one of {', '.join(sorted(self.texts))}")
        return first

    def names_of(self, spec: ModelSpec) -> Names:
        """The text model's names, inside the whole."""
        text = self.names or next(iter(self.texts.values())).names
        text = text if isinstance(text, Names) else text(spec)
        return self._inside(text) if self.part else text

    def _inside(self, text: Names) -> Names:
        return replace(
            text,
            prefix=f"model.{self.part}.",
            base="model",
            renames=self.renames,
            towers=TOWERS,
            joined=text.joined and self._inside(text.joined),
        )
