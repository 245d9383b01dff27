"""Source and target language of a translation model, as its tokenizer and ``generate`` take them.

The reference's tokenizer is asked, once, at export: which codes it knows, what stands around a source text,
and the target's token. Imports transformers only when it is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import CheckpointError, OptionError, did_you_mean

if TYPE_CHECKING:
    import tensorflow as tf

# Decoders that begin with the language itself (``shift_tokens_right`` of mBART and PLBART wraps it around);
# the others force it after decoder_start_token_id.
_STARTS_WITH_LANGUAGE = {"MBartTokenizer", "PLBartTokenizer"}

#: Ids before a text's own, and behind them.
Frame = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Languages:
    """A resolved pair.

    Attributes:
      text_prefix: what is put before every text, before it is tokenized (Marian's ">>fra<< ").
      source: ids around a source text's own, in place of the tokenizer's template; None leaves that.
      target: the same for a text in the target language; None where no target is named.
      generation: generation options that make the answer's language.
      codes: the token id of every language that the tokenizer knows.
    """

    text_prefix: str
    source: Frame | None
    target: Frame | None
    generation: dict[str, int]
    codes: dict[str, int]


def framed(ids: tf.RaggedTensor, frame: Frame) -> tf.RaggedTensor:
    """int32 [batch, (length)] without special tokens -> with those of ``frame``. Runs on the host."""
    import tensorflow as tf

    def rows(tokens: tuple[int, ...]) -> tf.RaggedTensor:
        flat = tf.tile(tf.constant(tokens, tf.int32), [ids.nrows()])
        return tf.RaggedTensor.from_uniform_row_length(flat, len(tokens))

    before, after = frame
    return tf.concat([*([rows(before)] if before else []), ids, *([rows(after)] if after else [])], axis=1)


def resolve_languages(directory: Path, source: str | None, target: str | None) -> Languages | None:
    """What ``--source-lang`` and ``--target-lang`` mean for a checkpoint; None where neither is given.

    Args:
      directory: the checkpoint.
      source, target: codes as the reference's tokenizer spells them: "en_XX", "eng_Latn", "en", "fra".

    Raises:
      CheckpointError: transformers cannot read the tokenizer.
      OptionError: the tokenizer has no languages, or not this one.
    """
    if source is None and target is None:
        return None
    tokenizer = _load(directory)
    if hasattr(tokenizer, "supported_language_codes"):
        return _by_text(tokenizer, source, target)
    if not hasattr(tokenizer, "set_src_lang_special_tokens"):
        name = "source_lang" if source is not None else "target_lang"
        raise OptionError(
            f"{name}={source or target!r}: {type(tokenizer).__name__} knows no languages; put what the model "
            "expects into the text"
        )
    codes = _codes(tokenizer)
    if source is not None:
        tokenizer.src_lang = _spelled("source_lang", source, codes)
    start = "decoder_start_token_id" if _kind(tokenizer) in _STARTS_WITH_LANGUAGE else "forced_bos_token_id"
    around_source = _frame(tokenizer)
    if target is None:
        return Languages("", around_source, None, {}, codes)
    target = _spelled("target_lang", target, codes)
    tokenizer.set_tgt_lang_special_tokens(target)
    return Languages("", around_source, _frame(tokenizer), {start: codes[target]}, codes)


def _frame(tokenizer: Any) -> Frame:
    return tuple(tokenizer.prefix_tokens), tuple(tokenizer.suffix_tokens)


def _load(directory: Path) -> Any:
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(
            str(directory), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise CheckpointError(
            f"{directory}: transformers cannot read its tokenizer files: {error}"
        ) from error


def _kind(tokenizer: Any) -> str:
    return type(tokenizer).__name__.removesuffix("Fast")


def _codes(tokenizer: Any) -> dict[str, int]:
    """Token ids by language code."""
    if hasattr(tokenizer, "get_lang_id"):  # M2M100: "en" for the token "__en__"
        return {code: tokenizer.get_lang_id(code) for code in tokenizer.lang_code_to_token}
    named = {str(tokenizer.special_tokens_map.get(role)) for role in tokenizer.SPECIAL_TOKENS_ATTRIBUTES}
    listed = getattr(tokenizer, "lang_code_to_id", None) or [
        token for token in tokenizer.all_special_tokens if token not in named
    ]
    ids = {code: tokenizer.convert_tokens_to_ids(code) for code in listed}
    return {code: token for code, token in ids.items() if token not in {None, tokenizer.unk_token_id}}


def _spelled(option: str, code: str, codes: dict[str, int]) -> str:
    if code in codes:
        return code
    if f"__{code}__" in codes:  # PLBartTokenizer takes both spellings
        return f"__{code}__"
    allowed = ", ".join(sorted(codes))
    raise OptionError(
        f"{option}={code!r} is not known to the tokenizer{did_you_mean(code, codes)}; allowed: {allowed}"
    )


def _by_text(tokenizer: Any, source: str | None, target: str | None) -> Languages:
    """Marian: one source language, and a target that stands before the text where there are several."""
    codes = {
        code.removeprefix(">>").removesuffix("<<"): tokenizer.convert_tokens_to_ids(code)
        for code in tokenizer.supported_language_codes
    }
    if source is not None:
        raise OptionError(f"source_lang={source!r}: a Marian model reads one language, which is built in")
    assert target is not None
    if not codes:
        raise OptionError(f"target_lang={target!r}: this Marian model writes one language, which is built in")
    return Languages(f">>{_spelled('target_lang', target, codes)}<< ", None, None, {}, codes)
