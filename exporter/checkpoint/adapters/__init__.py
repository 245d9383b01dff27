"""Adapters of PEFT that are merged into a checkpoint's tensors as they are read."""

from __future__ import annotations

from exporter.checkpoint.adapters.adapter import Adapter
from exporter.checkpoint.adapters.folder import with_adapter
from exporter.checkpoint.adapters.merge import Base, merged

__all__ = ["Adapter", "Base", "merged", "with_adapter"]
