"""Score plugins side by side against truth: an evaluation for each kind, one table for all."""
