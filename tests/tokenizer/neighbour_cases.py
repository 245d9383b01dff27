"""Files beside a tokenizer.json, and what AutoTokenizer of transformers 4.57.6 made of a text with them.

``IDS`` were answered by that version; the full tier asks it again where its environment exists
(``scripts/reference_environment.sh``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tokenizer.test_added_tokens import token

#: Characters by id, in GPT-2's spelling; then two tokens of the file's own.
LETTERS = "abcxyzstoemkduirBOS<>|/_[]0123456789NTR\u0120"
_OWN = [token("<s>", len(LETTERS), special=True), token("</s>", len(LETTERS) + 1, special=True)]
FIRST = len(LETTERS) + 2  # the first id that a neighbour's token gets

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_PREFIXED = {**_BYTES, "add_prefix_space": True}
_NESTED = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTES]}
_BERT = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
         "lowercase": False}  # fmt: skip
_CHAT = {"content": "<x>", "special": True}


def listed(*contents: str, **flags: bool) -> dict[str, Any]:
    """An added_tokens_decoder of these tokens behind the file's own, the last one first."""
    found = {str(FIRST + i): {"content": content, **flags} for i, content in enumerate(contents)}
    return {"added_tokens_decoder": dict(reversed(found.items()))}


@dataclass(frozen=True)
class Case:
    """``files``: name without .json -> content; ``sections``: of the tokenizer.json, over the plain ones."""

    text: str
    config: Mapping[str, Any] | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, Any] = field(default_factory=dict)

    def write(self, directory: Path) -> Path:
        """The checkpoint's tokenizer files; the plain class where none is named."""
        directory.mkdir(parents=True, exist_ok=True)
        model = {"type": "BPE", "vocab": {c: i for i, c in enumerate(LETTERS)}, "merges": []}
        plain = {"version": "1.0", "added_tokens": _OWN, "pre_tokenizer": _BYTES, "model": model}
        contents = {"tokenizer": {**plain, **self.sections}, **self.files}
        if self.config is not None:
            contents["tokenizer_config"] = {"tokenizer_class": "PreTrainedTokenizerFast", **self.config}
        for name, content in contents.items():
            (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return directory


CASES = {
    "nothing but a class": Case("a<x>b <s>", {}),
    "listed by id": Case("a<x>b <y> c<s>", listed("<x>", "<y>", special=True, normalized=False)),
    "listed, plain, stripping": Case("a <x> b<y> c", listed("<x>", "<y>", lstrip=True, rstrip=True)),
    "listed, a single word": Case("a<x> <x> b", listed("<x>", single_word=True)),
    "listed: the other files do not count": Case(
        "a<x><y><z>",
        listed("<x>", special=True),
        {"special_tokens_map": {"additional_special_tokens": ["<y>"]}, "added_tokens": {"<z>": FIRST}},
    ),
    "listed and named": Case("a <x>b", {**listed("<x>", lstrip=True), "eos_token": "<x>"}),
    "special_tokens_map.json": Case(
        "a<x>b<y>", {}, {"special_tokens_map": {"additional_special_tokens": ["<y>", "<x>"]}}
    ),
    "special_tokens_map.json with flags": Case(
        "a <x> b<y>",
        {"additional_special_tokens": ["<y>"]},
        {
            "special_tokens_map": {
                "additional_special_tokens": [{**_CHAT, "lstrip": True}],
                "eos_token": "</s>",
            }
        },
    ),
    "added_tokens.json": Case(
        "a<x>b<y> <z>",
        {"additional_special_tokens": ["<x>"]},
        {"added_tokens": {"<z>": FIRST + 2, "<y>": FIRST, "<x>": FIRST + 1}},
    ),
    "additional_special_tokens": Case("a<x>b<s>", {"additional_special_tokens": ["<x>", "<s>"]}),
    "extra_special_tokens": Case("a<x>b<y>", {"extra_special_tokens": {"image_token": "<y>", "z": "<x>"}}),
    "roles that the file lacks": Case("<x>a<y>", {"bos_token": "<x>", "pad_token": "<y>", "unk_token": None}),
    "a role with flags": Case(
        "a <x> b", {"cls_token": {"__type": "AddedToken", **_CHAT, "rstrip": True, "normalized": True}}
    ),
    "split_special_tokens": Case(
        "a<x>b<y><s>", {**listed("<x>", special=True), "split_special_tokens": True}
    ),
    "add_prefix_space": Case("ab c", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}),
    "add_prefix_space is false by default": Case("ab c", {}, sections={"pre_tokenizer": _PREFIXED}),
    "add_prefix_space null": Case("ab c", {"add_prefix_space": None}, sections={"pre_tokenizer": _PREFIXED}),
    "add_prefix_space of nested nodes stays": Case(
        "ab c", {"add_prefix_space": True}, sections={"pre_tokenizer": _NESTED}
    ),
    "add_prefix_space of Bloom's nested nodes": Case(
        "ab 1c",
        {"tokenizer_class": "BloomTokenizerFast", "add_prefix_space": True},
        sections={"pre_tokenizer": _NESTED},
    ),
    "GPT-2's own token": Case("a<|endoftext|>b", {"tokenizer_class": "GPT2Tokenizer"}),
    "Llama begins with BOS": Case("ab<s>", {"tokenizer_class": "LlamaTokenizer"}),
    "Llama with both": Case("ab", {"tokenizer_class": "LlamaTokenizerFast", "add_eos_token": True}),
    "Llama with neither": Case("ab<unk>", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False}),
    "Llama with another BOS": Case("ab", {"tokenizer_class": "LlamaTokenizer", "bos_token": "<x>"}),
    "Gemma": Case("ab<bos><eos>", {"tokenizer_class": "GemmaTokenizer"}),
    "GPT-NeoX with both": Case(
        "ab", {"tokenizer_class": "GPTNeoXTokenizer", "add_bos_token": True, "add_eos_token": True,
               "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>"},
    ),
    "Cohere": Case("ab", {"tokenizer_class": "CohereTokenizer", "bos_token": "<s>", "eos_token": "</s>"}),
    "a class that does not write affixes": Case("ab", {"add_bos_token": True, "bos_token": "<s>"}),
    "T5's sentinels": Case("a<extra_id_7>", {"tokenizer_class": "T5Tokenizer"}),
    "T5 with three": Case("a<extra_id_2><extra_id_3>", {"tokenizer_class": "T5Tokenizer", "extra_ids": 3}),
    "BART's mask strips": Case("a <mask> b<pad>", {"tokenizer_class": "BartTokenizer"}),
    "BART's mask as listed": Case(
        "a <mask> b", {"tokenizer_class": "BartTokenizer", "mask_token": "<mask>", **listed("<mask>")}
    ),
    "BERT lower-cases by default": Case(
        "aB", {"tokenizer_class": "BertTokenizer"}, sections={"normalizer": _BERT}
    ),
    "BERT keeps case": Case(
        "aB", {"tokenizer_class": "BertTokenizer", "do_lower_case": False}, sections={"normalizer": _BERT}
    ),
    "Qwen2": Case("a<|endoftext|>", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<x>"}),
}  # fmt: skip

#: The ids that transformers 4.57.6 gave.
IDS: dict[str, list[int]] = {
    "nothing but a class": [0, 19, 3, 20, 1, 39, 40],
    "listed by id": [0, 42, 1, 39, 43, 39, 2, 40],
    "listed, plain, stripping": [0, 42, 1, 43, 2],
    "listed, a single word": [0, 19, 3, 20, 39, 42, 39, 1],
    "listed: the other files do not count": [0, 42, 19, 4, 20, 19, 5, 20],
    "listed and named": [0, 42, 1],
    "special_tokens_map.json": [0, 43, 1, 42],
    "special_tokens_map.json with flags": [0, 43, 39, 1, 42],
    "added_tokens.json": [0, 43, 1, 42, 39, 44],
    "additional_special_tokens": [0, 42, 1, 40],
    "extra_special_tokens": [0, 43, 1, 42],
    "roles that the file lacks": [42, 0, 43],
    "a role with flags": [0, 39, 42, 1],
    "split_special_tokens": [0, 19, 3, 20, 1, 19, 4, 20, 19, 6, 20],
    "add_prefix_space": [39, 0, 1, 39, 2],
    "add_prefix_space is false by default": [0, 1, 39, 2],
    "add_prefix_space null": [39, 0, 1, 39, 2],
    "add_prefix_space of nested nodes stays": [0, 1, 39, 2],
    "add_prefix_space of Bloom's nested nodes": [39, 0, 1, 39, 39, 27, 39, 2],
    "GPT-2's own token": [0, 42, 1],
    "Llama begins with BOS": [40, 0, 1, 40],
    "Llama with both": [40, 0, 1, 41],
    "Llama with neither": [0, 1, 42],
    "Llama with another BOS": [42, 0, 1],
    "Gemma": [42, 0, 1, 42, 43],
    "GPT-NeoX with both": [40, 0, 1, 41],
    "Cohere": [40, 0, 1],
    "a class that does not write affixes": [0, 1],
    "T5's sentinels": [0, 51],
    "T5 with three": [0, 46, 19, 9, 3, 7, 15, 0, 23, 14, 12, 23, 29, 20],
    "BART's mask strips": [0, 44, 39, 1, 43],
    "BART's mask as listed": [0, 39, 42, 39, 1],
    "BERT lower-cases by default": [0, 1],
    "BERT keeps case": [0, 16],
    "Qwen2": [0, 43],
}
