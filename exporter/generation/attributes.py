"""Every attribute of transformers' GenerationConfig, and what happens to it here: the one table.

Three fates: HONOURED attributes change the graph exactly as they change ``model.generate``; HARMLESS ones
have no effect on the ids of a plain ``generate`` call; REFUSED ones would have one that the graph does not
reproduce, and are an error unless they hold a neutral value. docs/options.md is written from this table.
Imports no TensorFlow and no transformers.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple


class Fate(Enum):
    """What becomes of an attribute."""

    HONOURED = "honoured"
    HARMLESS = "harmless"
    REFUSED = "refused"


class Attribute(NamedTuple):
    """A GenerationConfig attribute.

    Attributes:
      fate: what becomes of it.
      note: why, or what to know; one sentence for the documentation and for the error message.
      neutral: values (besides None) with which a refused attribute has no effect.
    """

    fate: Fate
    note: str
    neutral: tuple[Any, ...] = ()


def _honoured(note: str) -> Attribute:
    return Attribute(Fate.HONOURED, note)


def _harmless(note: str) -> Attribute:
    return Attribute(Fate.HARMLESS, note)


def _refused(note: str, *neutral: Any) -> Attribute:
    return Attribute(Fate.REFUSED, note, neutral)


_CACHE = "how the reference stores its cache; the exported cache is always static"
_ASSISTANT = "only read with an assistant model, which an export does not have"
_OUTPUT = "selects extra return values of the Python call"
_COMPILE = "how the reference compiles itself"

ATTRIBUTES: dict[str, Attribute] = {
    # Length
    "max_new_tokens": _honoured("the most tokens a row may generate; the cap of the per-row option"),
    "max_length": _honoured("prompt and new tokens together; read where max_new_tokens is not set"),
    "min_length": _honoured("no end-of-sequence token before prompt and new tokens have this length"),
    "min_new_tokens": _honoured("no end-of-sequence token before this many new tokens; replaces min_length"),
    "early_stopping": _honoured("when a beam search stops: false, true or 'never'"),
    "max_time": _refused("a compiled loop has no clock; limit max_new_tokens instead"),
    "stop_strings": _honoured("texts that end the generation; the answer is cut before them"),
    # Strategy
    "do_sample": _honoured("draw tokens instead of taking the best"),
    "num_beams": _honoured("beam search, or beam sampling with do_sample"),
    "use_mtp": _refused("multi-token prediction heads are not exported", False),
    "num_return_sequences": _honoured("sequences per prompt: beams, or independent samples"),
    # Cache
    "use_cache": _harmless(_CACHE),
    "cache_implementation": _harmless(_CACHE),
    "cache_config": _harmless(_CACHE),
    "max_cache_len": _harmless(_CACHE),
    "low_memory": _refused("sequential beam search was removed from the reference", False),
    "prefill_chunk_size": _harmless("how the reference cuts its prefill; the logits are the same"),
    # Logits
    "temperature": _honoured("divides the logits (sampling)"),
    "top_k": _honoured("keeps the k most probable tokens and all that tie with the last (sampling)"),
    "top_p": _honoured("keeps the smallest set of tokens with this probability, ties included (sampling)"),
    "min_p": _honoured("keeps tokens with at least this share of the best one's probability (sampling)"),
    "top_h": _honoured("keeps the most probable tokens up to this share of the entropy (sampling)"),
    "typical_p": _honoured("locally typical sampling"),
    "epsilon_cutoff": _honoured("keeps tokens with at least this probability (sampling)"),
    "eta_cutoff": _honoured("epsilon sampling with a cutoff that follows the entropy (sampling)"),
    "repetition_penalty": _honoured("scales the logits of tokens in the prompt or generated"),
    "encoder_repetition_penalty": _honoured("scales the logits of tokens in the encoder's input or prompt"),
    "length_penalty": _honoured("exponent of the length by which a beam's score is divided"),
    "no_repeat_ngram_size": _honoured("no n-gram of this size occurs twice"),
    "encoder_no_repeat_ngram_size": _honoured(
        "no n-gram of this size of the encoder's input or prompt occurs"
    ),
    "bad_words_ids": _honoured("token sequences that are never generated"),
    "sequence_bias": _honoured("token sequences whose last token's logit is raised or lowered"),
    "renormalize_logits": _honoured("log-softmax after all processors"),
    "forced_bos_token_id": _honoured("the token right after a prompt of one token (a language code)"),
    "forced_eos_token_id": _honoured("the token forced where the longest length is reached"),
    "remove_invalid_values": _honoured("replaces NaN and infinite logits"),
    "exponential_decay_length_penalty": _honoured("(start, factor): raises the end-of-sequence logit"),
    "suppress_tokens": _honoured("tokens that are never generated"),
    "begin_suppress_tokens": _honoured("tokens that are not generated first"),
    "token_healing": _refused("rewrites the prompt's last token with a trie in Python", False),
    "guidance_scale": _refused("needs a second, unconditional pass of the model per step", 1, 1.0),
    "watermarking_config": _refused("watermarked sampling is not exported"),
    # Outputs
    "output_attentions": _harmless(_OUTPUT),
    "output_hidden_states": _harmless(_OUTPUT),
    "output_scores": _harmless(_OUTPUT),
    "output_logits": _harmless(_OUTPUT),
    "return_dict_in_generate": _harmless(_OUTPUT),
    # Special tokens
    "pad_token_id": _honoured("fills a sequence after its end; the first end-of-sequence token if not set"),
    "bos_token_id": _honoured("decoder start where decoder_start_token_id is not set"),
    "eos_token_id": _honoured("one token or several that end a sequence"),
    "decoder_start_token_id": _honoured("first decoder token of an encoder-decoder model"),
    # Assisted generation
    "is_assistant": _harmless(_ASSISTANT),
    "num_assistant_tokens": _harmless(_ASSISTANT),
    "num_assistant_tokens_schedule": _harmless(_ASSISTANT),
    "assistant_confidence_threshold": _harmless(_ASSISTANT),
    "assistant_lookbehind": _harmless(_ASSISTANT),
    "target_lookbehind": _harmless(_ASSISTANT),
    "assistant_ensemble_weight": _harmless(_ASSISTANT),
    "speculation_type": _harmless(_ASSISTANT),
    "assistant_early_exit": _refused("drafting with the model's first layers is not exported"),
    "prompt_lookup_num_tokens": _honoured("greedy search in larger steps: guesses copied from the text"),
    "max_matching_ngram_size": _honoured("longest n-gram that prompt lookup matches"),
    # Performance
    "compile_config": _harmless(_COMPILE),
    "disable_compile": _harmless(_COMPILE),
    "continuous_batching_config": _harmless("how the reference schedules many requests"),
    # Removed from transformers 5
    "penalty_alpha": _refused("contrastive search was removed from transformers 5", 0, 0.0),
    "dola_layers": _refused("DoLa decoding was removed from transformers 5"),
    "diversity_penalty": _refused("group beam search was removed from transformers 5", 0, 0.0),
    "num_beam_groups": _refused("group beam search was removed from transformers 5", 0, 1),
    "constraints": _refused("constrained beam search was removed from transformers 5"),
    "force_words_ids": _refused("constrained beam search was removed from transformers 5"),
    # Bookkeeping
    "_from_model_config": _harmless("says where the file came from"),
    "_commit_hash": _harmless("says where the file came from"),
    "_original_object_hash": _harmless("says where the file came from"),
    "transformers_version": _harmless("says where the file came from"),
}

# Keys that published generation_config.json files carry for their own Python code; ``generate`` ignores them.
CUSTOM_KEYS = frozenset(
    {
        "chat_format",
        "max_window_size",
        "user_token_id",
        "assistant_token_id",
        "trust_remote_code",
        "model_type",
    }
)

# Options of ours that GenerationConfig does not have.
EXTRAS: dict[str, str] = {
    "presence_penalty": "subtracted from the logit of every token generated so far (OpenAI's formula)",
    "frequency_penalty": "subtracted from a token's logit for each time it was generated (OpenAI's formula)",
    "seed": "start of the random numbers; -1 is a different one for every row and request",
    "scores": "return every sequence's score",
    "guided_regex": "every answer matches this regular expression as a whole",
    "guided_choice": "every answer is one of these texts",
    "guided_json": "every answer is JSON that is valid by this JSON Schema",
    "logprobs": "return the log-probability of every token and of the n most probable alternatives",
}

# Options of other servers that are refused, and why.
NOT_EXPORTED: dict[str, str] = {
    "guided_grammar": "a grammar nests without end, and a guide's table has an end; "
    "guided_json nests as deep as its schema says",
}
