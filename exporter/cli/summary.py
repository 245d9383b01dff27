"""What ``genserve export`` says of a version: the facts once, as JSON or as lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.exporting.pipeline import ExportResult
    from exporter.options import ExportOptions


def facts(result: ExportResult, options: ExportOptions, url: str | None = None) -> dict[str, Any]:
    """What was written, at which size, with which options; the keys are those of docs/command-line.md.

    ``url``: where the version was uploaded to; ``result.directory`` is gone soon then.
    """
    from exporter.saved_model.used_ops import used_ops
    from serving_configs.served_ops import obstacles

    manifest, directory = result.manifest, result.directory
    model, prefix, buckets = manifest.model, manifest.prefix, manifest.buckets
    before_chat = manifest.chat and manifest.chat.prefix
    releases = obstacles(used_ops(directory), manifest.tensorflow_version)
    return {
        "version_directory": f"{url}/{manifest.name}/{manifest.version}" if url else str(directory),
        "name": manifest.name,
        "version": manifest.version,
        "model_type": model.model_type,
        "parameters": model.parameters,
        "target": model.target,
        "scanned_layers": model.scanned_layers,
        "dtype": model.dtype,
        "weights": model.weights,
        "accuracy": manifest.accuracy and manifest.accuracy.model_dump(mode="json"),
        "bytes": sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()),
        "graph_bytes": (directory / "saved_model.pb").stat().st_size,
        "data_files": len(list((directory / "variables").glob("variables.data-*"))),
        "prompt_lengths": list(buckets.prompt_lengths),
        "batch_sizes": list(buckets.batch_sizes),
        "programs": {program.signatures[0]: program.compilations for program in manifest.programs},
        "compilations": sum(program.compilations for program in manifest.programs),
        "cache_bytes_per_row": manifest.memory.cache_bytes_per_row,
        "warmup_records": manifest.warmup.records,
        "guides": [guide.model_dump(mode="json") for guide in manifest.guides],
        "prefix": prefix and prefix.model_dump(mode="json"),
        "chat_prefix": before_chat and before_chat.model_dump(mode="json"),
        "serving_releases": [release for release, why in releases.items() if not why],
        "signatures": {
            name: {"inputs": list(signature.inputs), "outputs": list(signature.outputs)}
            for name, signature in manifest.signatures.items()
        },
        "notes": list(manifest.notes),
        "options": options.model_dump(mode="json"),
        "changed_options": [name for name, (_, default) in options.effective().items() if not default],
        "seconds": round(result.seconds, 3),
    }


def print_summary(result: ExportResult, options: ExportOptions, url: str | None = None) -> None:
    """The facts for a terminal, and how to serve the version."""
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    known = facts(result, options, url)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for label, fact in _lines(known).items():
        table.add_row(label, fact)
    console.print(table)
    console.print("signatures")
    for name, signature in known["signatures"].items():
        console.print(f"  {name}: {', '.join(signature['inputs'])} -> {', '.join(signature['outputs'])}")
    for note in known["notes"]:
        console.print(f"note: {note}")
    console.print("options (* not the default)")
    for name, (value, is_default) in options.effective().items():
        console.print(f"  {' ' if is_default else '*'} {name}: {value}")
    if url:
        console.print(f"serve it\n  genserve pull {url} DIR      # then DIR/serving: run lines and configs")
        return
    output = result.directory.parent.parent
    console.print(
        f"serve it\n  genserve serve {output}      # preview, for development\n"
        f"  {output / 'serving'}      # TensorFlow Serving: run lines and configs"
    )


def _lines(known: dict[str, Any]) -> dict[str, str]:
    """What a version is and costs, in words."""
    from rich.filesize import decimal

    lines = {
        "version": known["version_directory"],
        "model": f"{known['model_type']}, {known['parameters']:,} parameters, {known['dtype']}, "
        f"for {known['target']}",
        "size": f"{decimal(known['bytes'])} (graph {decimal(known['graph_bytes'])}, "
        f"{known['data_files']} data files)",
        "buckets": f"prompt lengths {known['prompt_lengths']} x batch sizes {known['batch_sizes']}",
        "compilations": f"{known['compilations']}: "
        + ", ".join(f"{count} of {name}" for name, count in known["programs"].items()),
        "keys and values": f"{decimal(known['cache_bytes_per_row'])} a row at most",
        "warmup": f"{known['warmup_records']} records",
        "served by": f"TensorFlow Serving {', '.join(known['serving_releases']) or '(no known release)'}",
    }
    if accuracy := known["accuracy"]:
        lines["weights"] = (
            f"int8: of {accuracy['tokens']} tokens {accuracy['token_match']:.1%} are those of plain weights, "
            f"logits are off by {accuracy['logit_error']:.2%}, perplexity {accuracy['perplexity']} instead "
            f"of {accuracy['perplexity_plain']}"
        )
    for guide in known["guides"]:
        lines[f"guide {guide['name']}"] = (
            f"{guide['kind']}: {guide['states']:,} states, {guide['classes']:,} classes of tokens, "
            f"{decimal(guide['bytes'])}"
        )
    for key in ("prefix", "chat_prefix"):
        if prefix := known[key]:
            lines[key.replace("_", " ")] = (
                f"{prefix['tokens']} tokens baked ({decimal(prefix['bytes'])}), "
                f"{prefix['rest_tokens']} with each request: {prefix['rest']!r}"
            )
    return lines | {"seconds": f"{known['seconds']:.1f}"}
