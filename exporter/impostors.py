"""Files that are not what their names say: told by their first bytes, with what to do about them."""

from __future__ import annotations

from pathlib import Path

_HEAD = 512
_FETCH = "fetch the file itself: hf download REPO {name} --local-dir {directory}"
_LFS = (
    "a Git LFS pointer, the address of the file and not its content; run 'git lfs pull' in {directory}, or "
    + _FETCH
)
_PAGE = "a web page saved under this name; " + _FETCH
_ANSWER = "a server's error message saved under this name; " + _FETCH
_PICKLE = (
    "a pickle of PyTorch, which can run code when loaded and is never opened; convert it where you trust it: "
    "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT)"
)
#: First bytes, in lower case and without white space before them -> what the file is.
_KNOWN: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/", _LFS),
    (b"<!doctype html", _PAGE),
    (b"<html", _PAGE),
    (b"<?xml", _ANSWER),
    (b"entry not found", _ANSWER),
    (b"repository not found", _ANSWER),
    (b"revision not found", _ANSWER),
    (b"invalid username or password", _ANSWER),
    (b"access to model", _ANSWER),
    (b"pk\x03\x04", _PICKLE),
    (b"\x80\x02", _PICKLE),
    (b"\x80\x04", _PICKLE),
    (b"gguf", "a GGUF file of llama.cpp; rename it to .gguf to see how to read it"),
    (b"\x89hdf", "an HDF5 file; if TensorFlow's classes of transformers wrote it, rename it to tf_model.h5"),
    (b"\x1f\x8b", "compressed with gzip; unpack it: gzip -dc {name} > OUT"),
)


def what_it_is(path: Path) -> str | None:
    """What a file is that cannot be what its name says, in words that follow "is"; None where it may be.

    Raises:
      OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return _filled("empty; " + _FETCH, path)
    if head[4:9] == b"\0\0\0\0{":
        return None  # safetensors: 8 bytes of length, then JSON; the length may begin like anything
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    found = next((what for start, what in _KNOWN if text.startswith(start)), None)
    return None if found is None else _filled(found, path)


def _filled(what: str, path: Path) -> str:
    return what.replace("{name}", path.name).replace("{directory}", str(path.parent))
