"""Everything a TensorFlow Serving deployment needs around an exported model, rendered from its manifest."""
