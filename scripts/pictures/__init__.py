"""Terminals as pictures, for ``scripts/make_pictures.py``."""
