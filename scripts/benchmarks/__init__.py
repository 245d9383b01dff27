"""Decode speed against the peers: ``scripts/benchmark`` measures, ``docs/performance.md`` shows.

Every peer runs in its own environment and its own process, on the same random-weight checkpoints and the
same prompts, and must produce exactly the number of tokens that was asked for. Results are one JSON file
per peer and case: an interrupted run goes on where it stopped.
"""
