"""CTranslate2. The variant is its compute type: "float32" or "int8"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctranslate2  # type: ignore[import-not-found]
from timing import Generate, Job, main  # type: ignore[import-not-found]
from transformers import AutoTokenizer


def prepare(job: Job) -> Generate:
    """Converts the checkpoint once per compute type, then loads it."""
    model = Path(job.work) / f"{Path(job.checkpoint).name}-{job.variant}"
    if not model.exists():
        converter = ctranslate2.converters.TransformersConverter(job.checkpoint)
        converter.convert(str(model), quantization=job.variant)
    tokenizer = AutoTokenizer.from_pretrained(job.checkpoint)
    prompts = [tokenizer.convert_ids_to_tokens(prompt) for prompt in job.prompts]
    threads = {"inter_threads": 1, "intra_threads": job.threads, "compute_type": job.variant}
    options = _options(job)
    if job.kind == "t5":
        translator = ctranslate2.Translator(str(model), **threads)
        lengths = {"max_decoding_length": job.new_tokens, "min_decoding_length": job.new_tokens}
        return lambda: [
            len(result.hypotheses[0]) for result in translator.translate_batch(prompts, **options, **lengths)
        ]
    generator = ctranslate2.Generator(str(model), **threads)
    lengths = {"max_length": job.new_tokens, "min_length": job.new_tokens}
    return lambda: [
        len(result.sequences[0])
        for result in generator.generate_batch(prompts, include_prompt_in_result=False, **options, **lengths)
    ]


def _options(job: Job) -> dict[str, Any]:
    if job.options.get("do_sample"):
        return {"sampling_topk": 0, "sampling_topp": job.options["top_p"], "beam_size": 1}
    return {"beam_size": job.options.get("num_beams", 1)}


if __name__ == "__main__":
    main(prepare, "ctranslate2", "transformers")
