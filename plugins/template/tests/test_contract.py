"""The contract tests of the kind; add those of what your method finds, against known truth."""

from astroclean.testing.contracts import KIND_CONTRACT


class TestPLUGIN_CLASS(KIND_CONTRACT):
    """Everything that a stage of kind `PLUGIN_KIND` must hold."""

    plugin = "PLUGIN_NAME"
