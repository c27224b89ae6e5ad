"""Text in, text out: caption files, swaps and nearest captions. No image, no model."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
