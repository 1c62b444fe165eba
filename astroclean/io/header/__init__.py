"""What the cards of a header mean."""
