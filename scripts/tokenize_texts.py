"""What AutoTokenizer of the transformers that runs this makes of texts: the oracle of another version.

python scripts/tokenize_texts.py < JOB > ANSWERS

JOB: {"sources": {name: directory}, "texts": {name: [text, ...]}}.
ANSWERS: {"version": ..., "ids": {name: [ids, ...]}, "unreadable": {name: why}}; null for ids where the
reference's regular expressions give up. It needs transformers alone: ``scripts/reference_environment.sh``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers


def attempt(tokenizer: Any, text: str) -> list[int] | None:
    try:
        return list(tokenizer(text, verbose=False)["input_ids"])
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None


def main() -> None:
    job = json.load(sys.stdin)
    ids, unreadable = {}, {}
    for name, directory in job["sources"].items():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True)
            ids[name] = [attempt(tokenizer, text) for text in job["texts"][name]]
        except Exception as error:
            unreadable[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    json.dump({"version": transformers.__version__, "ids": ids, "unreadable": unreadable}, sys.stdout)


if __name__ == "__main__":
    main()
