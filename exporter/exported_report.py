"""What an exported version is, from its manifest and the sizes of its files; nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.file_hashes import names_of
from exporter.manifest import Manifest
from exporter.request_examples import curl_line, rest_body


@dataclass(frozen=True)
class VersionReport:
    """One version."""

    directory: Path
    manifest: Manifest
    sizes: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """The keys are those of docs/command-line.md."""
        manifest = self.manifest
        return {
            "version_directory": str(self.directory),
            "name": manifest.name,
            "version": manifest.version,
            "created": manifest.created,
            "model": manifest.model.model_dump(mode="json"),
            "buckets": manifest.buckets.model_dump(mode="json"),
            "programs": [program.model_dump(mode="json") for program in manifest.programs],
            "options": manifest.options,
            "generation": manifest.generation,
            "guides": [guide.model_dump(mode="json") for guide in manifest.guides],
            "sources": [info.model_dump(mode="json") for info in manifest.sources],
            "adapter": manifest.adapter and manifest.adapter.model_dump(mode="json"),
            "bytes": sum(self.sizes.values()),
            "file_bytes": self.sizes,
            "signatures": {
                name: signature.model_dump(mode="json")
                | {"body": rest_body(manifest, name), "curl": curl_line(manifest, name)}
                for name, signature in manifest.signatures.items()
            },
            "notes": list(manifest.notes),
        }

    def __str__(self) -> str:
        """Lines for a terminal."""
        manifest, model, buckets = self.manifest, self.manifest.model, self.manifest.buckets
        revision = f" at {model.revision}" if model.revision else ""
        lengths, rows = list(buckets.prompt_lengths), list(buckets.batch_sizes)
        facts = {
            "source": f"{model.source}{revision}",
            "model": f"{model.model_type}, {model.parameters:,} parameters, {model.dtype}",
            "created": f"{manifest.created} by genserve {manifest.genserve_version}, TensorFlow "
            f"{manifest.tensorflow_version}",
            "size": f"{sum(self.sizes.values()):,} bytes in {len(self.sizes)} files",
            "buckets": f"prompt lengths {lengths} x batch sizes {rows}",
            "new tokens": f"at most {manifest.max_new_tokens}",
            "warmup": f"{manifest.warmup.records} records",
            "golden": f"{len(manifest.golden)} answers",
        }
        lines = [f"{self.directory}: {manifest.name} version {manifest.version}"]
        lines += [f"  {label:<12}{fact}" for label, fact in facts.items()]
        lines += [
            f"  {'guide':<12}{guide.name}: {guide.kind}, {guide.states:,} states, "
            f"{guide.classes:,} classes of tokens, {guide.bytes:,} bytes"
            for guide in manifest.guides
        ]
        lines += [
            f"  {info.path:<28}{info.bytes:>14,} bytes  sha256 {info.sha256}" for info in manifest.sources
        ]
        if manifest.adapter:
            lines.append(f"  {'adapter':<12}{manifest.adapter.source}")
            lines += [
                f"  {info.path:<28}{info.bytes:>14,} bytes  sha256 {info.sha256}"
                for info in manifest.adapter.files
            ]
        lines += [f"  note: {note}" for note in manifest.notes]
        for name, signature in manifest.signatures.items():
            lines += [
                f"{name}: {', '.join(signature.inputs)} -> {', '.join(signature.outputs)}",
                f"  {curl_line(manifest, name)}",
            ]
        return "\n".join(lines)


def inspect_version(directory: Path) -> VersionReport:
    """Reads a version's manifest; raises what ``Manifest.read`` raises."""
    sizes = {name: (directory / name).stat().st_size for name in sorted(names_of(directory))}
    return VersionReport(directory, Manifest.read(directory), sizes)
