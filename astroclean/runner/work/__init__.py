"""What is done: frames through stages, chunk by chunk."""
