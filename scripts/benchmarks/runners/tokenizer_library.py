"""The ``tokenizers`` library, one thread (TOKENIZERS_PARALLELISM is false)."""

from __future__ import annotations

import sys
from pathlib import Path

from tokenizer_timing import Encode, Job, main  # type: ignore[import-not-found]
from tokenizers import Tokenizer


def load(job: Job) -> Encode:
    """Without truncation and padding, as the compiled tokenizer."""
    tokenizer = Tokenizer.from_file(str(Path(job.source) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(texts: list[str]) -> int:
        try:
            return sum(len(found.ids) for found in tokenizer.encode_batch(texts))
        except BaseException as error:  # a panic of Rust is no Exception: its regular expressions give up
            if type(error).__name__ != "PanicException":
                raise
            print(error, file=sys.stderr)
            return -1

    return encode


if __name__ == "__main__":
    main(load, "tokenizers")
