"""KerasHub presets as the Hugging Face checkpoints that they stand for.

A preset is read as data; KerasHub itself is imported only where a handle is fetched or an object is read.
"""
