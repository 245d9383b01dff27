"""The export: every decision first (``plan``), then the steps in order (``pipeline``)."""
