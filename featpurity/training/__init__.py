"""Contrastive training: of the two projections alone, or from scratch."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
