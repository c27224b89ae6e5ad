"""A name or a file becomes a CLIP model whose towers end in linear projections."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
