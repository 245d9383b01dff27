"""KerasHub's GPT2CausalLM on the TensorFlow backend, compiled as it is by default.

Weights are KerasHub's own random ones: speed does not depend on their values.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras_hub
import numpy as np
import tensorflow as tf
from timing import Generate, Job, main  # type: ignore[import-not-found]


def prepare(job: Job) -> Generate:
    """Builds the checkpoint's shape, with the sampler that the options ask for."""
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    config = json.loads((Path(job.checkpoint) / "config.json").read_text())
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=config["vocab_size"],
        num_layers=config["n_layer"],
        num_heads=config["n_head"],
        hidden_dim=config["n_embd"],
        intermediate_dim=4 * config["n_embd"],
        dropout=0.0,
        max_sequence_length=config["n_positions"],
    )
    model = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
    model.compile(sampler=_sampler(job))
    prompts = np.array(job.prompts, np.int32)
    batch, prompt = prompts.shape
    ids = np.zeros([batch, prompt + job.new_tokens], np.int32)
    ids[:, :prompt] = prompts
    mask = np.zeros_like(ids)
    mask[:, :prompt] = 1

    def generate() -> list[int]:
        answer = model.generate({"token_ids": ids, "padding_mask": mask}, stop_token_ids=None)
        return [np.asarray(answer["token_ids"]).shape[1] - prompt] * batch

    return generate


def _sampler(job: Job) -> keras_hub.samplers.Sampler:
    if job.options.get("num_beams"):
        return keras_hub.samplers.BeamSampler(num_beams=job.options["num_beams"])
    if job.options.get("do_sample"):
        return keras_hub.samplers.TopPSampler(p=job.options["top_p"])
    return keras_hub.samplers.GreedySampler()


if __name__ == "__main__":
    main(prepare, "keras-hub", "keras", "tensorflow")
