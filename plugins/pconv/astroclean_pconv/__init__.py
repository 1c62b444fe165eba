"""Removal of compact sources by partial convolutions (Madarasz et al.; Liu et al. 2018)."""
