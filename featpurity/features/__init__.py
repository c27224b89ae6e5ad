"""Run each tower once; keep trunk features in a store, and make embeddings."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
