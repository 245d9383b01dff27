"""The README has docs/performance.md's figures. ``python -m tests.docs.test_peers`` writes them anew."""

from __future__ import annotations

import re

from tests.conftest import ROOT

README = ROOT / "README.md"
CASE = "gpt2-124m.greedy.b8.p32.n64"
#: Column of the table -> what it is.
PEERS = {
    "tf-eager": "transformers' TensorFlow `generate`, eager",
    "tf-graph": "the same in a `tf.function`",
    "tf-xla": "the same with `jit_compile=True`: the 2022 recipe",
    "torch": "transformers' PyTorch `generate`",
    "torch-static": "the same with a static cache",
    "keras-hub": "KerasHub",
    "ctranslate2": "CTranslate2, float32",
    "ctranslate2-int8": "CTranslate2, int8",
}
_BEGIN, _END = "<!-- peers: begin -->\n", "<!-- peers: end -->"


def _row(page: str) -> dict[str, str]:
    """Column -> cell of the case's row in the table of tokens per second."""
    part = page.split("## Tokens per second\n")[1].split("\n## ")[0]
    lines = [re.split(r" \| ", line.strip("| ")) for line in part.splitlines() if line.startswith("|")]
    return next(dict(zip(lines[0], line, strict=True)) for line in lines if line[0] == CASE)


def table() -> str:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    row = _row(page)
    lines = [f"| beside | versions | tokens/s | genserve: {row['genserve']} |", "| --- | --- | --- | --- |"]
    for peer, name in PEERS.items():
        speed, ratio = re.fullmatch(r"([\d.]+) \(([\d.]+ x)\)", row[peer]).groups()  # type: ignore[union-attr]
        versions = re.search(rf"(?m)^- {peer}: (.*)$", page)[1]  # type: ignore[index]
        lines.append(f"| {name} | {versions} | {speed} | {ratio} |")
    return "\n".join(lines) + "\n"


def rendered(readme: str) -> str:
    before, _, rest = readme.partition(_BEGIN)
    _, found, after = rest.partition(_END)
    assert found
    return f"{before}{_BEGIN}{table()}{_END}{after}"


def test_figures_are_those_measured() -> None:
    readme = README.read_text(encoding="utf-8")
    assert readme == rendered(readme), "run: python -m tests.docs.test_peers"


def test_every_peer_is_shown() -> None:
    row = _row((ROOT / "docs" / "performance.md").read_text(encoding="utf-8"))
    assert set(row) == {"case", "genserve", *PEERS}


def test_published_models_have_the_speeds_that_were_measured() -> None:
    """docs/real-models.md has docs/performance-models.md's figures, of one row."""
    measured = (ROOT / "docs" / "performance-models.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "real-models.md").read_text(encoding="utf-8")
    names = re.search(r"(?m)^\| \| (.*) \|$", page)[1].split(" | ")  # type: ignore[index]
    cells = re.search(r"(?m)^\| tokens a second, .*?\)\) \| (.*) \|$", page)[1].split(" | ")  # type: ignore[index]
    for name, cell in zip(names, cells, strict=True):
        row = re.search(rf"(?m)^\| {name}\.forced\.b1\.\S+ \| (.*) \| (.*) \|$", measured)
        assert row is not None
        assert cell == ("not measured" if "–" in row.groups() else f"{row[2]}, {row[1]}")


if __name__ == "__main__":
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
