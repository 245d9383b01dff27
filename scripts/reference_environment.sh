#!/usr/bin/env bash
# An environment with transformers 4.57, which followed the published tokenizer files: the third oracle of
# scripts/make_tokenizer_matrix.py --measure and of the full test tier. Prints its Python.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

directory=.venv-transformers-4.57
make_environment "$directory" "transformers==4.57.*" "transformers==4.57.*" sentencepiece protobuf tiktoken >&2
echo "$root/$directory/bin/python"
