"""What is wrong with an installation, a checkpoint, a folder of versions or a server: findings, as data.

Nothing here raises for what it finds; loads no TensorFlow.
"""

from __future__ import annotations

from exporter.doctor.findings import Finding

__all__ = ["Finding"]
