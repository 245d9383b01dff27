"""A load test of a live endpoint: what it answers in a second, how late, and why. Needs no TensorFlow."""
