"""Where the tensors of an HDF5 file lie. A program of its own: ``python h5_scan.py FILE WRITER`` prints JSON.

On some damaged files HDF5's library ends its process or asks for all memory there is, so ``h5_file`` runs
this in another one, with little of it. It needs h5py and nothing of the project.

WRITER ``transformers`` has two layouts: Keras's old ``save_weights`` (attribute ``layer_names``: groups, each
with the attribute ``weight_names``: its datasets), and a shard, whose ``layer_names`` are datasets. Source:
``load_tf_weights_from_h5`` and ``load_tf_shard`` of transformers 4.57 (modeling_tf_utils.py).

WRITER ``keras`` is the store of ``keras.saving``: every dataset, named by its path; bfloat16 is stored as two
opaque bytes under an attribute ``dtype``.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from itertools import count, takewhile
from typing import Any

import h5py

#: NumPy's names -> those that messages use; big-endian numbers were never written.
DTYPES = {
    "<f8": "F64",
    "<f4": "F32",
    "<f2": "F16",
    "<i8": "I64",
    "<i4": "I32",
    "<i2": "I16",
    "<u8": "U64",
    "<u4": "U32",
    "<u2": "U16",
    "|i1": "I8",
    "|u1": "U8",
    "|b1": "BOOL",
}

#: Of memory; the names and places of ten thousand tensors are a few million bytes.
_BYTES = 1 << 30


class RefusedError(Exception):
    """The file is whole, but holds what is not read."""


def scan(path: str, writer: str) -> list[dict[str, Any]]:
    """Each tensor: variable, whether its name is that of a shard, dtype, shape, first byte.

    Raises:
      RefusedError: as it says; anything else: the file is damaged.
    """
    with h5py.File(path, "r", locking=False) as file:
        return [
            {"name": name, "in_shard": in_shard, **_place(name, dataset)}
            for name, in_shard, dataset in (_stored(file) if writer == "keras" else _datasets(file))
        ]


def _stored(group: Any, path: str = "") -> Iterator[tuple[str, bool, Any]]:
    """Every dataset below a group."""
    for name in group:
        found = _within(group, name)
        if isinstance(found, h5py.Group):
            yield from _stored(found, f"{path}{name}/")
        else:
            yield f"{path}{name}", False, found


def _datasets(file: Any) -> Iterator[tuple[str, bool, Any]]:
    """In the order in which the reference assigns them."""
    layers = _names(file, "layer_names")
    if layers is None:
        whole = ", but a whole model of Keras: load it there, and save_weights" * ("model_weights" in file)
        raise RefusedError(f"no weights that transformers wrote: it has no attribute 'layer_names'{whole}")
    for layer in layers:
        found = _within(file, layer)
        weights = _names(found, "weight_names")
        if weights is None:
            yield layer, True, found
        else:
            yield from ((name, False, _within(found, name)) for name in weights)


def _names(group: Any, attribute: str) -> list[str] | None:
    """A list of names; Keras cuts what is longer than 64 KB into attributes with numbers."""
    keys = [attribute] if attribute in group.attrs else _numbered(group, attribute)
    stored = [group.attrs[key] for key in keys]
    if not stored:
        return None
    names = [name for part in stored for name in part]
    return [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]


def _numbered(group: Any, attribute: str) -> list[str]:
    return list(takewhile(group.attrs.__contains__, (f"{attribute}{number}" for number in count())))


def _within(group: Any, name: str) -> Any:
    """What ``name`` is in a group, over hard links alone: others may lead anywhere."""
    for part in filter(None, name.split("/")):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if link is None:
            raise ValueError(f"it names {name!r} and does not hold it")
        if not isinstance(link, h5py.HardLink):
            raise RefusedError(
                f"{name!r} is a link to {link.path!r} ({type(link).__name__}); weights have none, and they "
                "are not followed"
            )
        group = group[part]
    return group


def _place(name: str, dataset: Any) -> dict[str, Any]:
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name!r} is no dataset")
    made = dataset.id.get_create_plist()
    if made.get_layout() != h5py.h5d.CONTIGUOUS or made.get_external_count():
        raise RefusedError(
            f"{name!r} is not stored as one run of bytes in this file, as weights are; write it so: "
            "h5repack -l CONTI FILE OUT"
        )
    bfloat16 = dataset.dtype.str == "|V2" and dataset.attrs.get("dtype") == "bfloat16"
    dtype = "BF16" if bfloat16 else DTYPES.get(dataset.dtype.str)
    if dtype is None:
        raise RefusedError(f"{name!r} has dtype {dataset.dtype.str!r}; known are {', '.join(DTYPES)}")
    start = dataset.id.get_offset()
    if dataset.size and start is None:
        raise ValueError(f"{name!r} was never written")
    return {"dtype": dtype, "shape": dataset.shape, "start": start or 0}


def main(path: str, writer: str) -> None:
    """Prints ``{"tensors": [...]}``, ``{"refused": why}`` or ``{"damaged": why}``."""
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    try:
        said: dict[str, Any] = {"tensors": scan(path, writer)}
    except RefusedError as error:
        said = {"refused": str(error)}
    except Exception as error:  # of a damaged file h5py raises whatever its parts make of it
        said = {"damaged": (str(error).splitlines() or [type(error).__name__])[0]}
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
