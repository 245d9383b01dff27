"""transformers on PyTorch. Variants: "dynamic" (its default cache) and "static" (preallocated)."""

from __future__ import annotations

import torch
from timing import Generate, Job, main  # type: ignore[import-not-found]
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM


def prepare(job: Job) -> Generate:
    """Loads the model in fp32."""
    torch.set_num_threads(job.threads)
    kind = AutoModelForSeq2SeqLM if job.kind == "t5" else AutoModelForCausalLM
    model = kind.from_pretrained(job.checkpoint, dtype=torch.float32).eval()
    ids = torch.tensor(job.prompts)
    options = {"do_sample": False, "min_new_tokens": job.new_tokens, **job.options}
    if job.variant == "static":
        options |= {"cache_implementation": "static", "disable_compile": True}
    skipped = 1 if job.kind == "t5" else ids.shape[1]  # T5 rows begin with the start token

    @torch.inference_mode()
    def generate() -> list[int]:
        rows = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=job.new_tokens,
            pad_token_id=0,
            **options,
        )
        return [rows.shape[1] - skipped] * rows.shape[0]

    return generate


if __name__ == "__main__":
    main(prepare, "torch", "transformers")
