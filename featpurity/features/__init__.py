"""Towers run once: trunk features and embeddings, kept in a store."""
