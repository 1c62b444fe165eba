"""What will be done: inputs, needs, chunks, keys."""
