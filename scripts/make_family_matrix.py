"""Writes docs/support-families.md from the test registry: what is listed there is what the parity tests run.

python scripts/make_family_matrix.py [--check]
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from exporter.families.registry import ALIASES, REFUSED, REMOTE  # noqa: E402
from tests.encoder_decoder.cases import FAMILIES as ENCODER_DECODER  # noqa: E402
from tests.families.case import FamilyCases  # noqa: E402
from tests.families.cases import FAMILIES as DECODER_ONLY  # noqa: E402

TARGET = ROOT / "docs" / "support-families.md"
COMMAND = "python scripts/make_family_matrix.py"

INTRODUCTION = f"""\
# Supported model families

<!-- Written by `{COMMAND}` from tests/families and tests/encoder_decoder; do not edit. -->

A checkpoint is supported by the `model_type` of its config.json. `genserve inspect MODEL` says before any
export whether a checkpoint is supported, and why not. An export either equals the reference or is refused:
every config key is used, without effect, or an error; every tensor is used or an error.

A key of config.json is judged by what the reference reads, as its source says (a table of one version of
transformers, exporter/families/config_keys.json; an installed version that differs is looked at too, and a
key that either reads counts as read):

- a key that neither the config class of the model_type, nor its modelling module, nor the code that all share
  reads cannot change an answer: it is ignored, and named by `genserve inspect`, the export's summary and the
  manifest;
- a key that is read, and whose effect the graph has, is used;
- a key that is read without an effect on what is generated (dropout, initialisation) is passed over in
  silence: these alone are listed by hand;
- any other key that is read is an error, and so is a value of the wrong type. `--ignore-config-key KEY`
  exports without regard to the key, and the manifest says so.

`null` counts as absent, except where the reference gives it a meaning of its own. A config.json that version
4 wrote, whole or not, with keys under their older names, is read as version 5 reads it; where it has both
`rope_scaling` and `rope_parameters`, the former counts.

Each configuration below is a tiny random model of the reference's own class (PyTorch transformers). Against
it, run on each prompt alone and unpadded, the tests compare:

- the logits of every prompt position and of every cached step (within 1e-4 of a row's range), and the greedy
  ids of the compiled loop;
- cached with uncached, one token at a time with several, one padding bucket with another;
- the weights read from shards, with and without the base model's prefix, with the tied head stored or not;
- a config.json as version 4 of the reference wrote it with the one that version 5 writes, and the defaults of
  an empty one with those of the reference's config class.

Experts are read from tensors of their own or from the joint ones that version 5 of the reference can write;
those of gpt-oss from MXFP4 too, as published: every value is exactly what the reference's `dequantize=True`
gives. docs/formats.md says which other methods of quantisation are read; the rest is refused. `auto_map`
names code of the checkpoint's own, which is never run. For a model_type that transformers has a class for,
transformers does not run it either, unless told to (`trust_remote_code`): it loads its own class, and so does
genserve for every family below; summary and manifest say so. What that code would compute beyond the
class is not exported.
"""


def table(families: Iterable[FamilyCases]) -> list[str]:
    """One row a family."""
    lines = ["| model_type | known as | configurations under test |", "|---|---|---|"]
    for family in sorted(families, key=lambda family: family.model_type):
        cases = "; ".join(case.touches for case in family.cases)
        lines.append(f"| `{family.model_type}` | {family.known_as} | {cases} |")
    return lines


def aliases(types: Mapping[str, tuple[str, Any]]) -> str:
    """Types that are read as others."""
    return ", ".join(f"`{alias}` as `{model_type}`" for alias, (model_type, _) in types.items())


def refusals(refused: Mapping[str, str]) -> list[str]:
    """One item a reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for model_type, reason in refused.items():
        by_reason[reason].append(f"`{model_type}`")
    return [f"- {', '.join(sorted(types))}: {reason}." for reason, types in by_reason.items()]


def render() -> str:
    """The whole document."""
    parts = [
        [INTRODUCTION],
        [f"## Decoder-only ({len(DECODER_ONLY)})", ""],
        table(DECODER_ONLY),
        ["", f"## Encoder-decoder ({len(ENCODER_DECODER)})", ""],
        table(ENCODER_DECODER),
        ["", "Read as another type: " + aliases(ALIASES) + "."],
        ["", "## Refused by name", ""],
        refusals({**REFUSED, **REMOTE}),
        ["", "Any other `model_type` is refused as unknown, with the list of those that work.", ""],
    ]
    return "\n".join(line for part in parts for line in part)


def main() -> int:
    """Writes the document; with --check, only says whether it is up to date."""
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.read_text(encoding="utf-8") == render() else 1
    TARGET.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
