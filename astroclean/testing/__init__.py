"""Help for the authors of plugins: contract tests and frames with known truth."""
