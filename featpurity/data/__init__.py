"""A name or a folder becomes images or pairs. No models."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
