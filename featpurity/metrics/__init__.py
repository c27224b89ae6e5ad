"""Tensors in, numbers out: purity, accuracy, silhouette, pruning curves, intervals. Knows no
sibling.
"""

from featpurity import lazy_modules

__getattr__, __dir__ = lazy_modules(__name__, __path__)
