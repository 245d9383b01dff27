"""What a model or version needs of GPUs: memory, tokens per second, replicas, cost. Needs no TensorFlow."""
