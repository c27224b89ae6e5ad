"""Towers run once: trunk features and embeddings, kept in a store."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
