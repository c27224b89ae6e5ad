"""Tensors in, numbers out: purity, accuracy, silhouette, pruning curves, intervals.

Uses no other room of the package.
"""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
