"""Writes docs/support-tokenizers.md: every node of tokenizer.json, and the published tokenizers.

python scripts/make_tokenizer_matrix.py [--check]              render, or fail on a difference
python scripts/make_tokenizer_matrix.py --measure [--strings N] [--every N] [--only NAME]
                                                               check them first, and record the figures;
                                                               GENSERVE_TEST_DATA names the folder that
                                                               scripts/fetch_test_data filled
python scripts/make_tokenizer_matrix.py --measure-references [--only NAME]
                                                               ask AutoTokenizer of transformers 5 and 4.57
                                                               too, and record how they differ
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pydantic import TypeAdapter  # noqa: E402

from exporter.errors import TokenizerUnsupportedError  # noqa: E402
from exporter.tokenizer import nodes  # noqa: E402

TARGET = ROOT / "docs" / "support-tokenizers.md"
RESULTS = ROOT / "docs" / "support-tokenizers.json"
COMMAND = "python scripts/make_tokenizer_matrix.py"

INTRODUCTION = f"""\
# Supported tokenizers

<!-- Written by `{COMMAND}`; do not edit. -->

A tokenizer.json is compiled node by node. What a node becomes equals the `tokenizers` library token for
token, or the export refuses and names the node by its path in the file. Fields that the library does not read
are ignored and listed. How it works:
[tokenizers.md](tokenizers.md).

## Nodes

Each row is a node as the compiler answers it today. The tests run every compiled one against the library on
generated strings and on all 1,112,064 code points, alone and between two letters.
"""

PUBLISHED = """\
## Published tokenizers

Encoded by the graph and by the reference, and decoded by both, together with as many rows of random ids:
the texts of the full test run, which are 20,000 generated strings, every line of three corpora (two English
books and the Universal Declaration of Human Rights in 85 languages) and longer parts of them.
`scripts/fetch_test_data` gets the files.

The last two columns are facts about the references, not about the graph: on how many strings (2,000 generated
ones and every 20th line of the corpora) AutoTokenizer gives other ids than the reference that is compiled.
That is the published files with their neighbours' settings, or, without a tokenizer.json, what transformers 5
makes of the files.

| tokenizer | pipeline | strings | mismatches | transformers 5 differs | transformers 4.57 differs |
|---|---|---|---|---|---|
"""

Example = dict[str, Any]
_REGEX = {"Regex": r"\p{N}{1,3}"}
_LOOK_AHEAD = {"Regex": r" ?\p{L}+|\s+(?!\S)|\s+"}
_RUNS = (r"\s+$", r"\s+(?!\S)", r"\s{512}(?!\S)", r"\d{1,3}(?=(?:\d{3})*\b)", r"(?=(\d{3})+(?!\d))")
_SPLIT = {"type": "Split", "pattern": _REGEX, "behavior": "Isolated", "invert": False}
_METASPACE = {"type": "Metaspace", "replacement": "\u2581"}
_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
_PAIR = {"sep": ["b", 1], "cls": ["a", 0]}

# section -> node -> (what is special about it, example)
EXAMPLES: dict[str, list[tuple[str, Example]]] = {
    "normalizer": [
        *(
            (" ", {"type": name})
            for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")
        ),
        (" ", {"type": "Strip"}),
        (" ", {"type": "BertNormalizer"}),
        ("string", {"type": "Replace", "pattern": {"String": " "}, "content": "_"}),
        ("regex", {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}),
        ("regex with a look-ahead", {"type": "Replace", "pattern": _LOOK_AHEAD, "content": " "}),
        (" ", {"type": "Prepend", "prepend": "_"}),
        ("SentencePiece charsmap", {"type": "Precompiled", "precompiled_charsmap": None}),
        (" ", {"type": "ByteLevel"}),
        (" ", {"type": "Sequence", "normalizers": [{"type": "NFC"}]}),
    ],
    "pre_tokenizer": [
        ("use_regex on and off, add_prefix_space", _BYTES),
        ("all behaviors, invert", _SPLIT),
        (r"`\s+(?!\S)\|\s+` as the last alternatives", {**_SPLIT, "pattern": _LOOK_AHEAD}),
        ("Contiguous with a look-ahead", {**_SPLIT, "pattern": _LOOK_AHEAD, "behavior": "Contiguous"}),
        *((f"`{pattern}` alone", {**_SPLIT, "pattern": {"Regex": pattern}}) for pattern in _RUNS),
        ("other look-around, anchors", {**_SPLIT, "pattern": {"Regex": "(?<=a)b"}}),
        ("back-references", {**_SPLIT, "pattern": {"Regex": r"(a)\1"}}),
        ("all prepend schemes, split on and off", _METASPACE),
        (
            "prepend_scheme first after another pre-tokenizer",
            {
                "type": "Sequence",
                "pretokenizers": [{"type": "WhitespaceSplit"}, {**_METASPACE, "prepend_scheme": "first"}],
            },
        ),
        *(
            (" ", {"type": n})
            for n in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts")
        ),
        ("individual or contiguous", {"type": "Digits", "individual_digits": True}),
        ("all behaviors", {"type": "Punctuation", "behavior": "Isolated"}),
        (" ", {"type": "CharDelimiterSplit", "delimiter": "-"}),
        (" ", {"type": "FixedLength", "length": 5}),
        (" ", {"type": "Sequence", "pretokenizers": [_SPLIT, {**_BYTES, "use_regex": False}]}),
    ],
    "model": [
        ("byte-level, byte_fallback, fuse_unk, ignore_merges, affixes", _BPE),
        ("dropout", {**_BPE, "dropout": 0.1}),
        ("unk, byte_fallback", {"type": "Unigram", "vocab": [["<unk>", 0.0], ["a", -1.0]], "unk_id": 0}),
        (" ", {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1}}),
        (" ", {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}),
    ],
    "post_processor": [
        ("single sequences", {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]}),
        (" ", {"type": "RobertaProcessing", **_PAIR}),
        (" ", {"type": "BertProcessing", **_PAIR}),
        (" ", {"type": "ByteLevel"}),
        (" ", {"type": "Sequence", "processors": [{"type": "ByteLevel"}]}),
    ],
    "decoder": [
        (" ", {"type": "ByteLevel"}),
        (" ", {"type": "WordPiece"}),
        (" ", {"type": "BPEDecoder"}),
        (" ", _METASPACE),
        (" ", {"type": "CTC"}),
        ("string", {"type": "Replace", "pattern": {"String": "_"}, "content": " "}),
        (" ", {"type": "Fuse"}),
        (" ", {"type": "Strip", "content": " ", "start": 1, "stop": 0}),
        (" ", {"type": "ByteFallback"}),
        (" ", {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}),
    ],
}
UNIONS: dict[str, Any] = {
    "normalizer": nodes.Normalizer,
    "pre_tokenizer": nodes.PreTokenizer,
    "model": nodes.Model,
    "post_processor": nodes.PostProcessor,
    "decoder": nodes.Decoder,
}


def builders() -> dict[str, Callable[[Any], Any]]:
    """The compiler of every section."""
    from exporter.tokenizer.decoders import build_decoder
    from exporter.tokenizer.models import build_model
    from exporter.tokenizer.normalizers import build_normalizer
    from exporter.tokenizer.post_processors import build_post_processor
    from exporter.tokenizer.pre_tokenizers import build_pre_tokenizer

    return {
        "normalizer": build_normalizer,
        "pre_tokenizer": build_pre_tokenizer,
        "model": build_model,
        "post_processor": build_post_processor,
        "decoder": lambda node: build_decoder(node, ["a", "b"]),
    }


def node_types(section: str) -> set[str]:
    """Every node type that a file may name in a section."""
    union = get_args(UNIONS[section])[0]
    return {str(get_args(node.model_fields["type"].annotation)[0]) for node in get_args(union)}


def answer(section: str, example: Example) -> str:
    """``compiled``, or why not."""
    if example["type"] == "Precompiled":
        from exporter.tokenizer.charsmap import make_charsmap_text

        example = {**example, "precompiled_charsmap": make_charsmap_text({b"\xef\xbc\xa1": b"A"})}
    node = TypeAdapter(UNIONS[section]).validate_python(example)
    try:
        builders()[section](node)
    except TokenizerUnsupportedError as refusal:
        reason = str(refusal).split(": ", 2)[2].rsplit(";", 1)[0]
        return f"refused: {reason}".replace("|", r"\|")
    return "compiled"


def node_rows() -> Iterator[str]:
    """A table a section."""
    for section, examples in EXAMPLES.items():
        yield f"\n### {section}\n\n| node | with | answer |\n|---|---|---|\n"
        for special, example in examples:
            yield f"| {example['type']} | {special.strip()} | {answer(section, example)} |\n"


def sources(directory: Path) -> Iterator[tuple[str, Path]]:
    """Every published tokenizer: as tokenizer.json, and in the layouts that transformers converts."""
    from tests.tokenizer.published import FOLDERS, LAYOUTS, source_of

    for name in (*FOLDERS, *LAYOUTS):
        yield name, source_of(name, directory / name)


def measure(strings: int, every: int, only: str) -> None:
    """Checks the published tokenizers whose name holds ``only``, and records what was found."""
    from exporter.tokenizer import verify_tokenizer
    from tests.conftest import TEST_DATA
    from tests.tokenizer.published import FOLDERS, LAYOUTS
    from tests.tokenizer.support import corpus_lines

    if TEST_DATA is None:
        raise SystemExit("error: GENSERVE_TEST_DATA names no folder; scripts/fetch_test_data DIR makes one")
    lines = corpus_lines(TEST_DATA, full=True)[::every]
    results = {row["tokenizer"]: row for row in json.loads(RESULTS.read_text(encoding="utf-8"))}
    with tempfile.TemporaryDirectory() as directory:
        for name, source in sources(Path(directory)):
            if only not in name:
                continue
            report = verify_tokenizer(source, lines, count=strings)
            print(name, report, flush=True)
            found = {"pipeline": report.kind, "strings": report.strings, "mismatches": report.mismatches}
            results[name] = {**results.get(name, {}), "tokenizer": name, **found}
            _record([results[known] for known in (*FOLDERS, *LAYOUTS) if known in results])


def measure_references(only: str) -> None:
    """Asks the other references of the published tokenizers, and records how they differ."""
    from scripts.tokenizer_references import differences
    from tests.conftest import TEST_DATA
    from tests.tokenizer.support import corpus_lines

    if TEST_DATA is None:
        raise SystemExit("error: GENSERVE_TEST_DATA names no folder; scripts/fetch_test_data DIR makes one")
    lines = corpus_lines(TEST_DATA, full=True)[::20]
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as directory:
        for name, source in sources(Path(directory)):
            for row in rows:
                if row["tokenizer"] == name and only in name:
                    row["references"] = differences(name, source, lines, Path(directory))
                    print(name, row["references"], flush=True)
                    _record(rows)


def _record(rows: list[dict[str, Any]]) -> None:
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _row(row: dict[str, Any]) -> str:
    from scripts.tokenizer_references import VERSIONS

    known = row.get("references", {"strings": 0})
    others = [known.get(version, "not measured") for version in VERSIONS]
    shown = [f"{found} of {known['strings']:,}" if isinstance(found, int) else found for found in others]
    cells = [row["tokenizer"], row["pipeline"], f"{row['strings']:,}", str(row["mismatches"]), *shown]
    return f"| {' | '.join(cells)} |\n"


def render() -> str:
    """The whole document."""
    rows = [_row(row) for row in json.loads(RESULTS.read_text(encoding="utf-8"))]
    return INTRODUCTION + "".join(node_rows()) + "\n" + PUBLISHED + "".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--measure-references", action="store_true")
    parser.add_argument("--strings", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=1, help="check every N-th line of the corpora")
    parser.add_argument("--only", default="", help="check the tokenizers with this in their name")
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.strings, arguments.every, arguments.only)
    if arguments.measure_references:
        measure_references(arguments.only)
    text = render()
    if arguments.check:
        return int(TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
