"""A second recipe of contaminated frames, for validation: it shares no generator with the first."""
