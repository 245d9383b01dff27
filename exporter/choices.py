"""Options with a fixed set of values, each set written once: for the option types and for ``--help``.

Imports nothing, so that the command line and every room may read it.
"""

from __future__ import annotations

from typing import Literal

#: What a version computes in, and what may be asked for; "auto": see ``exporter.exporting.dtypes``.
ComputeDtype = Literal["float32", "bfloat16", "float16"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
#: How weights are stored: in the dtype that the version computes in, or in int8 with scales.
StoredWeights = Literal["plain", "int8"]
Tokenizer = Literal["auto", "none"]
#: Whose ids are compiled where there is a tokenizer.json: the published files', or AutoTokenizer's.
TokenizerReference = Literal["files", "transformers"]
Overflow = Literal["error", "truncate_left", "truncate_right"]
RowErrors = Literal["answer", "raise"]
Warmup = Literal["none", "minimal", "full"]
#: Whether a version is loaded and asked, by a process of its own, before it is published.
Verify = Literal["full", "none"]
#: What a generating signature may answer beside text, counts and errors.
Output = Literal["score", "prompt_tokens", "truncated"]
#: genserve's further signatures.
ExtraSignature = Literal["generate", "generate_tokens", "resume", "score", "next_token", "prompt_logprobs"]

#: Files of a corpus, and of its answers.
CorpusFormat = Literal["text", "jsonl", "parquet"]
AnswerFormat = Literal["jsonl", "parquet"]
#: Whether the chat template of a checkpoint is served; "auto": where that can be done exactly.
Chat = Literal["auto", "on", "off"]
#: Whether a model thinks before it answers; "auto": as its chat template does by itself.
Thinking = Literal["auto", "on", "off"]
#: What becomes of a chat model's thinking: part of the answer, an output of its own, or left out.
Reasoning = Literal["keep", "apart", "drop"]

#: What a version's programs are made for: it chooses how they compute, never what.
Target = Literal["gpu", "cpu"]
#: Whether equal layers run as a loop over stacked weights.
ScanLayers = Literal["auto", "on", "off"]

#: Where a server runs.
Device = Literal["gpu", "cpu"]
#: What ``genserve serve`` starts; "auto" is the real server where it is installed, else the preview server.
Engine = Literal["auto", "preview", "tensorflow_model_server", "docker"]
#: Minor releases of TensorFlow Serving that deployment files are written for.
ServingVersion = Literal["2.19", "2.20", "2.21"]
#: What deployment files are written for, beside Docker and a server without a container.
DeployTarget = Literal["kubernetes", "kserve"]
#: Whose completion script ``genserve completion`` prints.
Shell = Literal["bash", "zsh", "fish"]
