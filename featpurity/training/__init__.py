"""Contrastive training: of the two projections alone, or from scratch."""
