"""Decoding: processors, choice of tokens, search and stopping. Knows a step model, no family."""
