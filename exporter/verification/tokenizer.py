"""Whether a version's ``encode`` still gives the ids of the tokenizer that it was exported from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.file_hashes import file_info
from exporter.manifest import FileInfo, Manifest
from exporter.publishing.origin import source_of
from exporter.verification.checks import Check, judged

_NAME = "tokenizer"
_STRINGS = 200


@dataclass(frozen=True)
class Sample:
    """Texts with the reference's ids; or why there are none."""

    texts: tuple[str, ...] = ()
    ids: tuple[list[int], ...] = ()
    why_not: str = ""


def tokenizer_sample(manifest: Manifest) -> Sample:
    """Sample texts, where the source is at hand and still the one that was exported."""
    if manifest.tokenizer is None:
        return Sample(why_not="exported with --tokenizer none")
    if manifest.prefix or manifest.options.get("source_lang") or manifest.options.get("target_lang"):
        return Sample(why_not="a prefix or languages stand around every text")
    places = []
    for source, files in _read(manifest):
        path = _path(source)
        if path is None:
            return Sample(why_not=f"{source} is not on this machine")
        if not files:
            return Sample(why_not="a manifest of format 1 does not say which files it was")
        for info in files:
            if not info.path.endswith(".safetensors") and _changed(path, info):
                return Sample(why_not=f"{path / info.path} is not the file that was exported")
        places.append(path)
    special = manifest.options.get("special_tokens_in_text", True)
    if manifest.adapter is None:
        return _sample(places[0], special_tokens_in_text=special)
    from exporter.checkpoint import Location, open_checkpoint

    merged = open_checkpoint(places[0], Location(places[1]))
    return _sample(merged.path, special_tokens_in_text=special)


def _read(manifest: Manifest) -> list[tuple[str, tuple[FileInfo, ...]]]:
    """What was exported, and which files of it; of a merged adapter its base before itself."""
    adapter = manifest.adapter
    if adapter is None:
        return [(manifest.model.source, manifest.sources)]
    base = manifest.model.source if manifest.options.get("adapter") else source_of(adapter.base or "")
    return [(base, manifest.sources), (adapter.source, adapter.files)]


def _path(source: str) -> Path | None:
    from exporter.checkpoint.locate import DEMO_PREFIX

    if source.startswith(DEMO_PREFIX):
        from exporter.demo import demo_path

        return Path(demo_path(source.removeprefix(DEMO_PREFIX)))
    path = Path(source)
    return path if path.is_absolute() and path.is_dir() else None


def _changed(directory: Path, info: Any) -> bool:
    try:
        return file_info(directory, info.path) != info
    except OSError:
        return True


def _sample(path: Path, *, special_tokens_in_text: bool) -> Sample:
    from exporter.tokenizer.reference import reference_of
    from exporter.tokenizer.samples import sample_strings
    from exporter.tokenizer.sources import read_source

    reference = reference_of(read_source(path), special_tokens_in_text)
    texts = tuple(sample_strings(_STRINGS, seed=17, tokens=reference.tokens))
    return Sample(texts, tuple(reference.encode(text) for text in texts))


def tokenizer_check(sample: Sample, encoded: dict[str, Any] | None) -> Check:
    """The version's answer to the sample texts, against the reference's."""
    if sample.why_not:
        return Check(_NAME, "skipped", sample.why_not)
    if encoded is None or "" in encoded:
        return Check(_NAME, "failed", f"encode does not answer: {(encoded or {}).get('', 'not reached')}")
    problems = []
    counts = encoded["num_tokens"]
    for text, expected, row, count in zip(
        sample.texts, sample.ids, encoded["input_ids"], counts, strict=True
    ):
        if row[:count] != expected:
            problems.append(f"{text!r} is {row[:count]}, not {expected}")
    return judged(_NAME, problems, f"{len(sample.texts)} texts, ids as the reference's")
