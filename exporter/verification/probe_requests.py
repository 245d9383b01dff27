"""What a version is asked when it is verified: the golden requests, and every other signature's."""

from __future__ import annotations

from typing import Any

from exporter.manifest import GoldenAnswer, Manifest
from exporter.request_examples import row_options

Request = dict[str, Any]


def golden_request(golden: GoldenAnswer) -> Request:
    return {"signature": golden.signature, "inputs": golden.inputs, "limit": golden.max_new_tokens}


def other_requests(manifest: Manifest, golden: GoldenAnswer, first: int) -> list[Request]:
    """The golden prompt through every other signature; ``first`` is the number of the first of them.

    What ``tokens`` takes and ``decode`` too comes from the answers before.
    """
    if "text" not in golden.inputs or "encode" not in manifest.signatures:
        return []
    text, limit = golden.inputs["text"], golden.max_new_tokens
    requests: list[Request] = [
        {"signature": "encode", "inputs": {"text": text}},
        {"signature": "tokens", "inputs": _ids(manifest, "tokens", first, "input_ids"), "limit": limit},
    ]
    if manifest.generation.get("num_return_sequences", 1) == 1:
        decoded = _ids(manifest, "decode", first + 1, "generated_ids")
        requests.append({"signature": "decode", "inputs": decoded})
    for name, signature in manifest.signatures.items():
        if (
            "text" not in signature.inputs
            or name in (golden.signature, "encode")
            or _is_short(manifest, name)
        ):
            continue
        inputs = {"text": text, **row_options(manifest, signature.inputs, limit)}
        if "continuation" in signature.inputs:
            inputs["continuation"] = ["a"]
        requests.append({"signature": name, "inputs": inputs, "limit": limit})
    return requests


def variants(manifest: Manifest, golden: list[GoldenAnswer]) -> list[dict[str, Any]]:
    """Golden requests of one signature as one batch: as many as a batch takes, and one beside a long one.

    ``neighbour`` is how many tokens that one has at most, 0 without.
    """
    by_signature: dict[str, list[int]] = {}
    for number, answer in enumerate(golden):
        by_signature.setdefault(answer.signature, []).append(number)
    most = manifest.buckets.batch_sizes[-1]
    found = []
    for numbers in by_signature.values():
        full = (numbers * most)[: max(most, len(numbers))]
        longest = manifest.buckets.prompt_lengths[-1]
        found += [{"requests": full, "neighbour": 0}, {"requests": numbers[:1], "neighbour": longest}]
    return found


def _ids(manifest: Manifest, name: str, request: int, output: str) -> dict[str, Any]:
    """Ids of an answer before; what is longer than the signature takes is cut off."""
    width = manifest.signatures[name].inputs["input_ids"].shape[1]
    return {
        "input_ids": {"request": request, "output": output, "width": width},
        "num_tokens": {"request": request, "output": "num_tokens", "most": width},
    }


def _is_short(manifest: Manifest, name: str) -> bool:
    """Whether a signature is one of ``--split-by-length`` that may rightly refuse a prompt."""
    ends = tuple(f"_{length}" for length in manifest.buckets.prompt_lengths[:-1])
    return bool(manifest.options.get("split_by_length")) and name.endswith(ends)
