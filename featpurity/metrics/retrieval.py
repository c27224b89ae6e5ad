"""Zero-shot retrieval: does an image find one of its captions, and a caption its image?

References
----------
Radford et al. (2021), Learning Transferable Visual Models From Natural Language Supervision,
section 3.1 and appendix E. Faghri et al. (2018), VSE++: recall at k with several captions.
"""

from collections.abc import Sequence
from numbers import Integral

import torch

from featpurity.metrics.inputs import Array, as_labels, check_embeddings, row_blocks
from featpurity.metrics.intervals import Estimate, influence_by_owner, variance_unseen

KS = (1, 5, 10)


def retrieval_ranks(
    image_embeddings: Array, text_embeddings: Array, image_of_text: Array, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rank of the first right answer to each image and to each caption.

    Parameters
    ----------
    image_embeddings : float tensor or array of shape (n_images, d)
        Unit rows.
    text_embeddings : float tensor or array of shape (n_texts, d)
        Unit rows; an image may have several captions, and must have at least one.
    image_of_text : int64 tensor or array of shape (n_texts,)
        Which image each caption belongs to.
    most : int
        How many of the nearest to look at.

    Returns
    -------
    of_images : int64 tensor of shape (n_images,)
        Rank of the nearest of the image's own captions; a rank below k is a hit of recall at k.
    of_texts : int64 tensor of shape (n_texts,)
        Rank of the caption's image.

    Raises
    ------
    ValueError
        For shapes that do not fit, NaN, captions of no image, images without a caption, or `most`
        below 1.
    """
    texts, owners = check_embeddings(text_embeddings, image_of_text)
    images, _ = check_embeddings(image_embeddings, torch.arange(len(image_embeddings)))
    images, owners = images.to(texts), as_labels(owners)
    if images.shape[1] != texts.shape[1]:
        raise ValueError(
            f"expected embeddings of one size, got {images.shape[1]} and {texts.shape[1]}"
        )
    present = owners.unique()
    if len(present) != len(images) or present[0] != 0 or present[-1] != len(images) - 1:
        raise ValueError(
            f"image_of_text: expected each of 0 .. {len(images) - 1} at least once, "
            f"got {len(present)} values from {present[0].item()} to {present[-1].item()}"
        )
    if most < 1:
        raise ValueError(f"most: expected 1 or more of the nearest, got {most}")
    of_images = _ranks(images, texts, lambda i, found: owners[found] == i[:, None], most)
    of_texts = _ranks(texts, images, lambda i, found: found == owners[i][:, None], most)
    return of_images, of_texts


def retrieval_recall(
    image_embeddings: Array, text_embeddings: Array, image_of_text: Array, ks: Sequence[int] = KS
) -> dict[str, float]:
    """Recall at k of zero-shot retrieval, both ways.

    Parameters
    ----------
    image_embeddings, text_embeddings, image_of_text
        See `retrieval_ranks`, also for the errors.
    ks : sequence of int, default (1, 5, 10)

    Returns
    -------
    recall : dict of str to float
        ``text_recall@k``: the share of images that have one of their captions among the k nearest
        texts; ``image_recall@k``: the share of captions that have their image among the k nearest.
    """
    ks = list(ks)  # a generator can be read only once
    if not ks or not all(isinstance(k, Integral) and k >= 1 for k in ks):
        raise ValueError(f"ks: expected whole numbers of 1 or more, got {ks}")
    ranks = retrieval_ranks(image_embeddings, text_embeddings, image_of_text, max(ks))
    recalls = estimate_recalls(*ranks, as_labels(image_of_text), ks).value.tolist()
    names = [f"{found}_recall@{k}" for found in ("text", "image") for k in ks]
    return dict(zip(names, recalls))


def estimate_recalls(
    of_images: torch.Tensor, of_texts: torch.Tensor, owners: torch.Tensor, ks: Sequence[int] = KS
) -> Estimate:
    """Recall at k with its intervals over images, each drawn together with its captions.

    Parameters
    ----------
    of_images, of_texts : int64 tensors of shapes (n_images,) and (n_texts,)
        From `retrieval_ranks`.
    owners : int64 tensor of shape (n_texts,)
        Which image each caption belongs to.
    ks : sequence of int, default (1, 5, 10)

    Returns
    -------
    estimate : Estimate
        Of 2 x len(ks) recalls, first those of texts that images find.
    """
    ks, owners = torch.tensor(list(ks), device=of_images.device), owners.to(of_images.device)
    of_images = (of_images[:, None] < ks).double()  # (n_images, ks)
    of_texts = (of_texts[:, None] < ks).double()  # (n_texts, ks)
    spread = torch.cat([of_images, influence_by_owner(of_texts, owners)], 1)
    value = torch.cat([of_images.mean(0), of_texts.mean(0)])
    return Estimate(value, spread, unseen=variance_unseen(len(of_images)))


def _ranks(queries, gallery, right, most):
    """Rank of each query's first right answer among the `most` nearest, or `most` without one.

    `right` says which answers (m, k) to queries (m,), both given by index, are right.
    """
    most, ranks = min(most, len(gallery)), []
    for rows in row_blocks(len(queries), len(gallery), queries):
        nearest = (queries[rows] @ gallery.T).topk(most, dim=1).indices  # (m, most)
        found = right(torch.arange(rows.start, rows.stop, device=nearest.device), nearest)
        first = found.int().argmax(1)  # the first that is true
        ranks.append(torch.where(found.any(1), first, most))
    return torch.cat(ranks)
