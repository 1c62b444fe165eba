"""Run any network on any frame: cards, weights, engines, normalization, prediction."""
