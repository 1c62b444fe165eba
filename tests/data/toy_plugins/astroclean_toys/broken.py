"""A module that cannot be imported."""

raise RuntimeError("the toy is broken")
