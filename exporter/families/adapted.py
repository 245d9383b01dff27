"""A model's tensors with a PEFT adapter merged into them: which of its modules the adapter's names are."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from exporter.checkpoint import StoredTensor
from exporter.checkpoint.adapters import Adapter, Base, merged
from exporter.errors import UnsupportedError
from exporter.families.names import Linear, Names
from exporter.families.stored_names import reference_name
from exporter.families.ties import own_tables, tied_tables
from exporter.spec import ModelSpec


def adapted(
    adapter: Adapter,
    spec: ModelSpec,
    names: Names,
    tensors: Mapping[str, StoredTensor],
    wanted: Collection[str],
) -> dict[str, StoredTensor]:
    """``tensors``, by the reference's names, with the adapter's changes.

    Raises:
      CheckpointError: the adapter is not one of this model.
      UnsupportedError: it changes a table that encoder and decoder share.
    """
    tied = tied_tables(spec, names)

    def name_of(stored: str) -> str:
        return reference_name(stored, names, wanted)

    changed = {name_of(f"{module}.weight") for module in adapter.changes} & set(tied)
    if names.common and changed:
        raise UnsupportedError(
            f"the adapter {adapter.source} changes {min(changed)}, a table that encoder and decoder share: "
            "what PEFT trains there depends on its version, and is not merged"
        )
    own = own_tables(names)
    out_in = {own.head, own.tokens, own.encoder}
    return merged(
        adapter,
        Base(
            tensors,
            name_of,
            used=wanted,
            in_out=lambda name: names.linear is Linear.IN_OUT and name not in out_in,
            tied=tied if len(tied) > 1 else (),
        ),
    )
