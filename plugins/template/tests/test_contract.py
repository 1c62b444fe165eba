"""The contract tests of the kind, and one test against the truth of a simulated frame."""

from astroclean.testing.contracts import @CONTRACT@


class Test@CLASS@(@CONTRACT@):
    """Everything that a stage of kind `@KIND@` must hold."""

    plugin = "@NAME@"
