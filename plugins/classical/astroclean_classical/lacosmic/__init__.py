"""L.A.Cosmic with noise, domain and sources measured on the frame."""

from astroclean_classical.lacosmic.stage import LACosmic

__all__ = ["LACosmic"]
