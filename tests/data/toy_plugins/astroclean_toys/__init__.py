"""Stages with known answers and known faults."""
