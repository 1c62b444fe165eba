"""Architectures in PyTorch; cards name the functions that build them."""

from astroclean_pconv.network.architectures import (
    CompactNetwork,
    PaperNetwork,
    build_compact,
    build_paper,
)

__all__ = ["CompactNetwork", "PaperNetwork", "build_compact", "build_paper"]
