"""The contract tests of the kind, and one test against the truth of a simulated frame."""

from astroclean.testing.contracts import KIND_CONTRACT


class TestPLUGIN_CLASS(KIND_CONTRACT):
    """Everything that a stage of kind `PLUGIN_KIND` must hold."""

    plugin = "PLUGIN_NAME"
