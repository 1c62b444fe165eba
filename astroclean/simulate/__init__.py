"""Simulated frames with exact truth and seeds, for examples, tests, training and evaluation."""
