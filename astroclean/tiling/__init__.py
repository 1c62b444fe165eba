"""Cut a frame into tiles with margins, and put results together again."""
