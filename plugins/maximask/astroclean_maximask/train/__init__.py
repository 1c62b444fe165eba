"""What they are trained on, and how they are shipped."""
