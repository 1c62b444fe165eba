"""What is left: the output folder, its records and files."""
