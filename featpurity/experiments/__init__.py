"""One or more modules per chapter: models, data and settings in, tidy tables and effects out."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
