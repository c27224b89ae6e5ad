"""Text in, text out: caption files, swaps, nearest and synthetic captions. No images, no models."""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
