"""Inputs and outputs that lie in object stores and on web servers."""
