"""genserve: text-generation checkpoints as self-contained SavedModels for TensorFlow Serving.

Importing this package loads neither TensorFlow nor transformers.
"""

__version__ = "0.1.0"
