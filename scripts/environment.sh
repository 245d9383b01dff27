# Sourced by the scripts beside it: finds a Python and keeps virtual environments up to date.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

# Prints the first of python3.13, 3.12, 3.11, python3 that runs, is 3.11 to 3.13 and can make environments.
# GENSERVE_PYTHON overrides the search.
find_python() {
    local candidate
    for candidate in ${GENSERVE_PYTHON:-python3.13 python3.12 python3.11 python3}; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
            >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11, 3.12 or 3.13 with the venv module on PATH (GENSERVE_PYTHON names another)" >&2
    return 1
}

# make_environment DIRECTORY STAMP PIP-ARGUMENTS...: creates DIRECTORY and installs into it, unless its stamp
# (whatever decides what is installed) is the one it was made with.
make_environment() {
    local directory="$1" stamp="$2"
    shift 2
    if [[ -f "$directory/.stamp" && "$(<"$directory/.stamp")" == "$stamp" ]]; then
        return
    fi
    echo "== environment $directory (minutes, the first time)"
    if [[ ! -x "$directory/bin/python" ]]; then
        local python
        python="$(find_python)"
        "$python" -m venv "$directory"
    fi
    # What pip says matters where it fails; else it is warnings of mirrors, caches and the like.
    local log
    log="$(mktemp)"
    if ! "$directory/bin/python" -m pip install --disable-pip-version-check --progress-bar off "$@" \
        >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    printf '%s' "$stamp" >"$directory/.stamp"
}

# Installs the project, editable, with what exporting and its tests need into .venv.
main_environment() {
    make_environment .venv "$(git hash-object pyproject.toml)" --editable '.[test,references]'
}

# Installs the same into .venv-lowest, every direct dependency at the lowest version its bound allows.
lowest_environment() {
    main_environment
    local constraints=.venv/lowest-constraints.txt
    .venv/bin/python scripts/lowest_versions.py pyproject.toml >"$constraints"
    make_environment .venv-lowest "$(git hash-object pyproject.toml)" \
        --constraint "$constraints" --editable '.[test]'
}

# Installs the project with Beam into .venv-beam: its protobuf is not that of the others.
beam_environment() {
    make_environment .venv-beam "$(git hash-object pyproject.toml)" \
        --editable '.[export,beam]' pytest pytest-timeout pytest-xdist
}

# Installs Locust into .venv-locust, an independent load generator: its gevent and Flask are of no use elsewhere.
locust_environment() {
    local wanted='locust>=2.40,<3'
    make_environment .venv-locust "$wanted" "$wanted"
}

# Installs JAX into .venv-kit, which has the packages of .venv beside it: they are not installed twice.
kit_environment() {
    main_environment
    local beside
    [[ -x .venv-kit/bin/python ]] || .venv/bin/python -m venv .venv-kit
    beside="$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
    printf 'import site; site.addsitedir("%s")\n' "$beside" \
        >"$(.venv-kit/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main_environment.pth"
    make_environment .venv-kit "$(git hash-object pyproject.toml)" --editable '.[kit]'
}
