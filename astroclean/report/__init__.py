"""The record of a run: `run.json` for machines, `report.html` for people."""
