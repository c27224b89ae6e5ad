"""The symmetric contrastive loss and its gradients, for many runs at once."""

import math

import torch


@torch.no_grad()
def contrastive(
    image_units: torch.Tensor, text_units: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Symmetric contrastive loss of many runs at once, with its gradients written out.

    The gradient of the logits is (row softmax + column softmax - 2 x identity) / (2 batch). Both
    softmaxes share one exponential, shifted so that its maximum is near float32's limit. It
    underflows only for a row or column whose best cosine is 160 / scale below the batch's best (1.6
    of 2 for CLIP's top scale, 100).

    Parameters
    ----------
    image_units, text_units : float tensors of shape (n_runs, batch, d)
        Unit rows; the two rows i are a pair.
    scale : float tensor of shape (n_runs,)
        The logit scale.

    Returns
    -------
    loss : float tensor of shape (n_runs,)
    image_gradient, text_gradient : float tensors of shape (n_runs, batch, d)
    scale_gradient : float tensor of shape (n_runs,), for the logarithm of the scale
    """
    scale = scale[:, None, None]
    batch = image_units.shape[1]
    logits = torch.bmm(image_units * scale, text_units.transpose(1, 2))  # (n_runs, batch, batch)
    right = logits.diagonal(dim1=1, dim2=2).mean(1)
    shift = logits.amax((1, 2), keepdim=True) - (87 - math.log(batch))
    shares = logits.sub_(shift).exp_()
    rows, columns = shares.sum(2, keepdim=True), shares.sum(1, keepdim=True)
    loss = (rows.log().mean((1, 2)) + columns.log().mean((1, 2))) / 2 + shift[:, 0, 0] - right
    shares.mul_(rows.reciprocal() + columns.reciprocal())
    image_gradient = (torch.bmm(shares, text_units) / 2 - text_units) * (scale / batch)
    text_gradient = (torch.bmm(shares.transpose(1, 2), image_units) / 2 - image_units) * (
        scale / batch
    )
    return loss, image_gradient, text_gradient, (image_gradient * image_units).sum((1, 2))
