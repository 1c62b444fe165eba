"""The pipeline file: its schema, its layers, and errors that a person can act on."""
