"""Deblending by partial attribution (PAIS; Hausen & Robertson 2021), and what came after it."""
