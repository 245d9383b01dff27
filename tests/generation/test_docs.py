"""docs/options.md has the tables of the code. ``python -m tests.generation.test_docs`` writes them anew."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.generation.attributes import ATTRIBUTES, EXTRAS, Attribute
from exporter.generation.generation_options import GenerationOptions
from exporter.generation.rows import ROW_FIELDS
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "options.md"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fate(attribute: Attribute) -> str:
    neutral = ", ".join(dict.fromkeys(f"`{value}`".lower() for value in attribute.neutral))
    return attribute.fate.value + (f" ({neutral})" if neutral else "")


def default(name: str) -> str:
    """The value that an unset option resolves to; 50 is transformers' own for top_k."""
    if name not in GenerationOptions.model_fields:
        return ""
    value = 50 if name == "top_k" else GenerationOptions.model_fields[name].default
    return "" if value is None or value == () else f"`{str(value).lower()}`"


def tables() -> dict[str, str]:
    return {
        "rows": table(
            ("input", "dtype", "neutral", "allowed"),
            (
                (
                    f"`{name}`",
                    field.dtype.name,
                    f"`{field.neutral}`" if name != "max_new_tokens" else "",
                    allowed,
                )
                for name, field in ROW_FIELDS.items()
                for allowed in [field.allowed.format(cap="the export's max_new_tokens")]
            ),
        ),
        "attributes": table(
            ("attribute", "", "default", "what it does, or why not"),
            (
                (f"`{name}`", fate(attribute), default(name), attribute.note)
                for name, attribute in ATTRIBUTES.items()
                if not name.startswith("_")
            ),
        ),
        "extras": table(
            ("option", "default", "what it does"),
            ((f"`{name}`", default(name), note) for name, note in EXTRAS.items()),
        ),
    }


def rendered(page: str) -> str:
    for name, text in tables().items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        assert found, name
        page = f"{before}{begin}{text}\n{end}{after}"
    return page


def test_tables_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == rendered(page), "run: python -m tests.generation.test_docs"


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
