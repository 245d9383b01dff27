"""How a version comes to stand in a folder of versions, and how it goes. Imports no TensorFlow."""

from exporter.publishing.local import Staged, staged_version
from exporter.publishing.numbers import choose_version, version_folders
from exporter.publishing.staging import discard

__all__ = ["Staged", "choose_version", "discard", "staged_version", "version_folders"]
