"""What the tokenizer classes of transformers 4.57 add to a tokenizer.json, by name.

The name stands in tokenizer_config.json. Only what changes ids is here, and only classes that text-generation
checkpoints name; any other class adds nothing of its own.

Source: ``__init__`` of ``models/*/tokenization_*_fast.py``, transformers 4.57.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class TokenizerClass:
    """A class, as its defaults; the settings of tokenizer_config.json come before them.

    Attributes:
      roles: its special tokens, ``unk_token`` -> content.
      affixes: (add_bos_token, add_eos_token), where the class writes the post-processor from them.
      mask: flags of a ``mask_token`` that is given as a string.
      inner_prefix_space: whether ``add_prefix_space: true`` also reaches the nodes of a Sequence.
      lowercases: whether do_lower_case, strip_accents and tokenize_chinese_chars set the BertNormalizer.
      extra_ids: how many tokens ``<extra_id_N>`` there are where none is named.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    affixes: tuple[bool, bool] | None = None
    mask: Mapping[str, Any] | None = None
    inner_prefix_space: bool = False
    lowercases: bool = False
    extra_ids: int = 0


def _roles(**contents: str) -> dict[str, str]:
    return {f"{role}_token": content for role, content in contents.items()}


_ENDOFTEXT = "<|endoftext|>"
_GPT2 = TokenizerClass(_roles(unk=_ENDOFTEXT, bos=_ENDOFTEXT, eos=_ENDOFTEXT))
_NEOX = replace(_GPT2, affixes=(False, False))
_SENTENCE = _roles(bos="<s>", eos="</s>", unk="<unk>")
_LLAMA = TokenizerClass(_SENTENCE, affixes=(True, False))
_GEMMA = TokenizerClass(_roles(bos="<bos>", eos="<eos>", unk="<unk>", pad="<pad>"), affixes=(True, False))
_COHERE = TokenizerClass(
    _roles(bos="<BOS_TOKEN>", eos="<|END_OF_TURN_TOKEN|>", unk="<UNK>"),
    affixes=(True, False),
    inner_prefix_space=True,
)
_BLOOM = TokenizerClass({**_SENTENCE, **_roles(pad="<pad>")}, inner_prefix_space=True)
_PAIRED = {**_SENTENCE, **_roles(sep="</s>", cls="<s>", pad="<pad>")}
_MASKED = {**_PAIRED, **_roles(mask="<mask>")}
_BART = TokenizerClass(_MASKED, mask={"lstrip": True, "normalized": True, "special": True})
_BARTHEZ = TokenizerClass(_MASKED, mask={"lstrip": True})
_BLENDERBOT = TokenizerClass(_MASKED, mask={"lstrip": True, "normalized": False})
_QWEN2 = TokenizerClass(_roles(unk=_ENDOFTEXT, eos=_ENDOFTEXT, pad=_ENDOFTEXT))
_T5 = TokenizerClass(_roles(eos="</s>", unk="<unk>", pad="<pad>"), extra_ids=100)
_BERT = TokenizerClass(
    _roles(unk="[UNK]", sep="[SEP]", pad="[PAD]", cls="[CLS]", mask="[MASK]"), lowercases=True
)

CLASSES: dict[str, TokenizerClass] = {
    "BartTokenizer": _BART,
    "BarthezTokenizer": _BARTHEZ,
    "BertTokenizer": _BERT,
    "BlenderbotTokenizer": _BLENDERBOT,
    "BloomTokenizer": _BLOOM,
    "CodeGenTokenizer": _GPT2,
    "CodeLlamaTokenizer": _LLAMA,
    "CohereTokenizer": _COHERE,
    "DistilBertTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "GPT2Tokenizer": _GPT2,
    "GPTNeoXTokenizer": _NEOX,
    "GemmaTokenizer": _GEMMA,
    "LEDTokenizer": _BART,
    "LlamaTokenizer": _LLAMA,
    "MBart50Tokenizer": _BARTHEZ,
    "MBartTokenizer": _BARTHEZ,
    "MT5Tokenizer": _T5,
    "NllbTokenizer": _BART,
    "OpenAIGPTTokenizer": TokenizerClass(_roles(unk="<unk>")),
    "Qwen2Tokenizer": _QWEN2,
    "RobertaTokenizer": _BART,
    "T5Tokenizer": _T5,
    "XGLMTokenizer": TokenizerClass(_PAIRED),
    "XLMRobertaTokenizer": _BARTHEZ,
}


def tokenizer_class(name: str | None) -> TokenizerClass:
    """The class of that name, with or without ``Fast``."""
    return CLASSES.get((name or "").removesuffix("Fast"), TokenizerClass())
