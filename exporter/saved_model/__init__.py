"""From a step model and a tokenizer graph to one SavedModel version that a server can load."""
