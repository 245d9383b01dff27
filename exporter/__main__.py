"""``python -m exporter`` is ``genserve``."""

from exporter.cli import main

main()
