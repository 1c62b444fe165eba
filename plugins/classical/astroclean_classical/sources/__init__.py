"""The stages `sep` and `photutils`: sources above a background."""
