"""What is wrong with resolved generation options: contradictions, and ids that have no logit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from exporter.errors import GenserveError

if TYPE_CHECKING:
    from exporter.generation.generation_options import GenerationOptions


def contradictions(options: GenerationOptions) -> list[str]:
    """Combinations that transformers refuses, and those that mean nothing."""
    several, beams = options.num_return_sequences, options.num_beams
    lookup = options.prompt_lookup_num_tokens
    forced = {"forced_eos_token_id": set(options.forced_eos_token_id)}
    if options.forced_bos_token_id is not None:
        forced["forced_bos_token_id"] = {options.forced_bos_token_id}
    rules: list[tuple[bool, str]] = [
        (
            several > 1 and beams == 1 and not options.do_sample,
            f"num_return_sequences={several}: greedy search has one answer; set do_sample or num_beams",
        ),
        (
            beams > 1 and several > beams,
            f"num_return_sequences={several}: at most num_beams={beams}",
        ),
        (
            options.do_sample and options.temperature == 0,
            "temperature=0.0: above 0 with do_sample; greedy search is do_sample=False",
        ),
        (
            lookup > 0 and (options.do_sample or beams > 1),
            f"prompt_lookup_num_tokens={lookup}: greedy search only (do_sample false, num_beams 1)",
        ),
        (
            options.exponential_decay_length_penalty is not None and not _valid(options.eos_token_id),
            "exponential_decay_length_penalty: needs an eos_token_id",
        ),
        *(
            (
                bool(ids) and ids <= set(options.suppress_tokens),
                f"{name}={sorted(ids)}: also in suppress_tokens, so no token would be left",
            )
            for name, ids in forced.items()
        ),
    ]
    return [message for broken, message in rules if broken] + _guide_problems(options)


def _guide_problems(options: GenerationOptions) -> list[str]:
    """What is wrong with the options' guide, and what does not go with any."""
    names = [f"guided_{kind}" for kind in options.guide_sources]
    if len(names) > 1:
        return [f"{' and '.join(names)}: one answer follows one guide; give one of them"]
    if not names:
        return []
    try:
        options.guide  # noqa: B018
    except GenserveError as error:
        return [str(error)]
    return [f"{names[0]}: {why}" for why in against_guides(options)]


def against_guides(options: GenerationOptions) -> list[str]:
    """Options that guided answers do not go with, and why."""
    rules = [
        (
            bool(options.stop_strings),
            f"a guide says where an answer ends, and stop_strings={list(options.stop_strings)} would too",
        ),
        (
            options.forced_bos_token_id is not None,
            f"every token is the guide's, and forced_bos_token_id={options.forced_bos_token_id} would not be",
        ),
        (not _valid(options.eos_token_id), "needs an eos_token_id, by which an answer ends"),
    ]
    return [why for broken, why in rules if broken]


def _valid(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(token for token in ids if token >= 0)


# Fields whose ids are added to, masked or forced, and so must have a logit.
_ID_FIELDS: dict[str, Callable[[Any], Iterable[int]]] = {
    "sequence_bias": lambda biases: (token for tokens, _ in biases for token in tokens),
    "bad_words_ids": lambda words: (token for tokens in words for token in tokens),
    "forced_bos_token_id": lambda token: () if token is None else (token,),
    "forced_eos_token_id": tuple,
}


def ids_outside(options: GenerationOptions, vocab_size: int) -> list[str]:
    return [
        f"{name}: token {max(ids)} is outside the vocabulary (0 to {vocab_size - 1})"
        for name, read in _ID_FIELDS.items()
        if (ids := [token for token in read(getattr(options, name)) if token >= vocab_size])
    ]
