"""Partial Contribution Representation: many sources in images of fixed depth."""
