"""FITS in and out: addresses, instruments, frames by HDU and plane, atomic writes."""
