"""Tensors in, numbers out: purity, accuracy, silhouette, pruning curves, intervals. Knows no
sibling.
"""
