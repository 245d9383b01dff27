"""The last transformers with TensorFlow classes. Variants: "eager", "graph" (tf.function), "xla"."""

from __future__ import annotations

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # before TensorFlow: these classes need Keras 2

from pathlib import Path

import tensorflow as tf
from safetensors.tensorflow import load_file  # type: ignore[import-not-found]
from timing import Generate, Job, main  # type: ignore[import-not-found]
from transformers import AutoConfig, TFAutoModelForCausalLM, TFAutoModelForSeq2SeqLM, TFPreTrainedModel
from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model


def prepare(job: Job) -> Generate:
    """Loads the model in fp32 and wraps ``generate`` as the variant says."""
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    model = _load(job)
    ids = tf.constant(job.prompts, tf.int32)
    mask = tf.ones_like(ids)
    options = {"do_sample": False, **job.options}
    skipped = 1 if job.kind == "t5" else ids.shape[1]

    def run(input_ids: tf.Tensor, attention_mask: tf.Tensor) -> tf.Tensor:
        return model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            max_new_tokens=job.new_tokens,
            pad_token_id=0,
            **options,
        )

    if job.variant != "eager":
        run = tf.function(run, jit_compile=job.variant == "xla")

    def generate() -> list[int]:
        rows = run(ids, mask).numpy()
        return [rows.shape[1] - skipped] * rows.shape[0]

    return generate


def _load(job: Job) -> TFPreTrainedModel:
    """The checkpoint's weights; ``from_pretrained`` iterates over the file, which safetensors refuses."""
    kind = TFAutoModelForSeq2SeqLM if job.kind == "t5" else TFAutoModelForCausalLM
    model = kind.from_config(AutoConfig.from_pretrained(job.checkpoint))
    weights = load_file(Path(job.checkpoint) / "model.safetensors")
    return load_pytorch_state_dict_in_tf2_model(model, weights, allow_missing_keys=True)


if __name__ == "__main__":
    main(prepare, "transformers", "tensorflow")
