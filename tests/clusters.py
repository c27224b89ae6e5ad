"""Embeddings of pictures that lie round the centres of their classes."""

import torch
import torch.nn.functional as F


def world(n=300, d=16, n_classes=5, seed=0):
    """Clustered unit embeddings with labels and a classifier of the clusters' centres."""
    generator = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(n_classes, d, generator=generator), dim=1)
    labels = torch.randint(n_classes, (n,), generator=generator)
    embeddings = F.normalize(centres[labels] + 0.4 * torch.randn(n, d, generator=generator), dim=1)
    return embeddings, labels, centres
