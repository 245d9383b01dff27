"""The proof kit: programs as serialized HLO, to be run and timed on a GPU where no TensorFlow is installed.

``python -m scripts.benchmarks gpu-kit DIR`` writes it, ``run.py`` in it runs it, and
``python -m scripts.benchmarks gpu-report RESULTS.json`` turns what it wrote into docs/performance-gpu.md.
"""
