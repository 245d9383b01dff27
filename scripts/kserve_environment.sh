#!/usr/bin/env bash
# An environment with the kserve package, which pins other versions than ours: its models of ServingRuntime and
# InferenceService are an oracle of the full test tier. Prints its Python.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

directory=.venv-kserve
make_environment "$directory" "kserve==0.21.*" "kserve==0.21.*" >&2
echo "$root/$directory/bin/python"
