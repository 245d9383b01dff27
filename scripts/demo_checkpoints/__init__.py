"""How the embedded demo checkpoints are made; run by ``scripts/make_demo_checkpoints.py``."""
