"""Networks over stamps, one around each source."""
