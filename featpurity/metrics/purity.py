"""How orthogonal a model's neurons are to one another.

A *neuron* is one coordinate of the space that images and texts share: one output of a tower's
projection, with a weight vector as long as the trunk is wide. Neurons whose weight vectors point in
unrelated directions read different features; neurons that point the same way mix them. The paper
calls the first *pure* and measures purity by the cosine between weight vectors.

References
----------
Sun, Zhang, Li & Wang (NeurIPS 2025), Contrastive Learning with Data Misalignment, section 5.
"""

import math

import torch
import torch.nn.functional as F

from featpurity.metrics.inputs import Array, as_float, as_tensor

# Directions that `expected_abs_cos` averages over, and the steps of its integral, in log t.
DIRECTIONS = 4096
STEPS = torch.linspace(-21, 28, 197, dtype=torch.float64)


def check_neurons(neurons: Array, name: str = "neurons") -> torch.Tensor:
    """Neurons (d, width) as a tensor; a ValueError for other shapes, NaN, or a neuron of norm 0."""
    neurons = as_tensor(neurons, name, "shape (d, width)")
    if neurons.ndim != 2 or 0 in neurons.shape:
        raise ValueError(
            f"{name}: expected a tensor of shape (d, width), got {tuple(neurons.shape)}"
        )
    if not torch.isfinite(neurons).all():
        raise ValueError(f"{name}: expected finite weights, got NaN or infinity")
    neurons = as_float(neurons)
    norms = neurons.norm(dim=1)
    if not torch.isfinite(norms).all():
        raise ValueError(f"{name}: weights too large for {neurons.dtype}: a norm is not finite")
    dead = (norms == 0).nonzero().flatten().tolist()
    if dead:
        raise ValueError(
            f"{name}: a neuron of norm 0 has no direction, got {len(dead)} (first: {dead[0]})"
        )
    return neurons


def cosine_matrix(neurons: Array) -> torch.Tensor:
    """Cosine between each two neurons of one tower, with a zero diagonal.

    Parameters
    ----------
    neurons : float tensor of shape (d, width)
        One neuron's weight vector per row, of any length but 0.

    Returns
    -------
    cosines : float tensor of shape (d, d)
        Symmetric, in [-1, 1]; entry (i, i) is 0, so that sums run over the *other* neurons.

    Raises
    ------
    ValueError
        For another shape, NaN or infinite weights, or a neuron of norm 0.
    """
    neurons = check_neurons(neurons)
    unit = neurons / neurons.norm(dim=1, keepdim=True)  # F.normalize would leave tiny ones short
    return (unit @ unit.T).clamp(-1, 1).fill_diagonal_(0)  # (d, d)


def neurons_of(projection: Array) -> torch.Tensor:
    """Neurons, one per row, of a projection matrix as checkpoints store it.

    Parameters
    ----------
    projection : float tensor or array of shape (width, d)
        Such as `visual.proj` and `text_projection` of OpenAI's, open_clip's and LaCLIP's models,
        whose embeddings are ``trunk_features @ projection``. The weight of a `torch.nn.Linear` has
        its neurons as rows already.

    Returns
    -------
    neurons : float tensor of shape (d, width)
    """
    projection = as_tensor(projection, "projection", "shape (width, d)")
    if projection.ndim != 2:
        raise ValueError(f"projection: expected shape (width, d), got {tuple(projection.shape)}")
    return projection.T.contiguous()


def avg_abs_cos(neurons: Array, d: int | None = None) -> float:
    """Average |cos| of one tower: the sum of |cosine_matrix| divided by d^2.

    The zero diagonal counts in the mean, as in the paper. Compare with `chance_average`, which is
    `chance_level` times (d - 1) / d, never with 0. The paper's snippet takes the columns of a
    (width, d) matrix: here it is ``avg_abs_cos(neurons_of(projection))``.

    Parameters
    ----------
    neurons : float tensor of shape (d, width)
        One neuron per row. A (width, d) matrix gives another number.
    d : int, optional
        The model's number of neurons: any other number of rows is then refused.

    Returns
    -------
    float
        In [0, 1); lower is purer.
    """
    neurons = check_neurons(neurons)
    if d is not None and len(neurons) != d:
        raise ValueError(
            f"neurons: expected a neuron a row, {d} of them, got shape {tuple(neurons.shape)}; of "
            "a matrix (width, d) take neurons_of(projection)"
        )
    return cosine_matrix(neurons).abs().mean().item()


def avg_abs_cos_error(neurons: Array) -> float:
    """Standard error of `avg_abs_cos` over the choice of neurons, by the jackknife.

    It shows how far the value would vary with another d neurons of the same kind, not with another
    training run. Needs at least 3 neurons.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 11.
    """
    return _jackknife(_left_out(neurons))


def difference_error(before: Array, after: Array) -> float:
    """Standard error of the difference of two towers' `avg_abs_cos`, their neurons paired.

    Neuron j of one became neuron j of the other in fine-tuning, say, so the jackknife leaves both
    out together.

    Parameters
    ----------
    before, after : float tensors or arrays of shape (d, width), d of at least 3
    """
    left_out = _left_out(before), _left_out(after)
    if len(left_out[0]) != len(left_out[1]):
        sizes = " and ".join(str(len(part)) for part in left_out)
        raise ValueError(f"expected towers of as many neurons, got {sizes}")
    return _jackknife(left_out[1] - left_out[0])


def _left_out(neurons):
    """Mean |cos| without each neuron in turn: float64 of shape (d,)."""
    neurons = check_neurons(neurons)
    d = len(neurons)
    if d < 3:
        raise ValueError(f"neurons: the jackknife needs at least 3, got {d}")
    row_sums = cosine_matrix(neurons).abs().sum(1).double()  # (d,)
    return (row_sums.sum() - 2 * row_sums) / ((d - 1) * (d - 2))


def _jackknife(left_out):
    """Standard error of a statistic over d neurons from its values without each in turn."""
    d = len(left_out)
    variance = (d - 1) / d * (left_out - left_out.mean()).square().sum()
    return (d - 1) / d * variance.sqrt().item()


def expected_abs_cos(neurons: Array) -> float:
    """Average |cos| expected over random rotations of the shared space, from the spectrum alone.

    A rotation R turns the neurons W into RW, whose rows i and j have the cosine (r_i G r_j) /
    sqrt(r_i G r_i . r_j G r_j), with r_i and r_j orthonormal and G = W W^T. Only G's eigenvalues g
    matter, as R is uniform. Given r_i = r, the vector r_j may be a Gaussian vector x orthogonal to
    r, as its length cancels. As 1 / sqrt(q) is the integral of exp(-t q / 2) / sqrt(2 pi t) over t,
    the mean over x is a Gaussian one:

        E|cos| = 1 / (pi sqrt(a)) . integral of sqrt((a - c / b) / b) / prod sqrt(1 + t g_k) dt / t,

    where a = sum r_k^2 g_k, b = sum r_k^2 / (1 + t g_k) and c = sum r_k^2 g_k / (1 + t g_k). The
    integral is exact to about 1e-4 (trapezoids in log t); the mean over r is taken over
    `DIRECTIONS` random ones, with a relative standard error below 1 %.

    Parameters
    ----------
    neurons : float tensor or array of shape (d, width)
        Not normalised: their lengths matter to what a rotation makes of them.

    Returns
    -------
    float
        In [0, 1), the zero diagonal counted as in `avg_abs_cos`. The same number for any rotation
        of the neurons.
    """
    neurons = check_neurons(neurons).double().cpu()
    d = len(neurons)
    if d == 1:
        return 0.0
    eigenvalues = torch.zeros(d, dtype=torch.float64)
    squared = torch.linalg.svdvals(neurons).square()
    eigenvalues[: len(squared)] = squared / squared.sum()
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(DIRECTIONS, d, generator=generator, dtype=torch.float64)
    shares = F.normalize(directions, dim=1).square()  # (directions, d)
    shrunk = 1 / (1 + STEPS.exp() * eigenvalues[:, None])  # (d, steps)
    a = (shares @ eigenvalues)[:, None]  # (directions, 1)
    b = shares @ shrunk  # (directions, steps)
    c = shares @ (eigenvalues[:, None] * shrunk)
    spread = ((a - c / b).clamp(min=0) / b).sqrt() * shrunk.log().sum(0).div(2).exp()
    given_direction = torch.trapezoid(spread, STEPS, dim=1) / (math.pi * a[:, 0].sqrt())
    return (d - 1) / d * given_direction.mean().item()


def max_abs_cos(neurons: Array) -> float:
    """Largest |cos| between two different neurons of one tower, in [0, 1]."""
    return cosine_matrix(neurons).abs().max().item()


def chance_level(width: int) -> float:
    """Mean |cos| of two independent random directions in `width` dimensions.

    Exactly Gamma(width / 2) / (sqrt(pi) Gamma((width + 1) / 2)); about sqrt(2 / (pi width)) for a
    wide trunk: 0.035 for 512, 0.029 for 768. Compare an average |cos|, which counts the zero
    diagonal too, with `chance_average`, the column chance of the tables.
    """
    if width < 1:
        raise ValueError(f"width: expected at least 1, got {width}")
    return math.exp(math.lgamma(width / 2) - math.lgamma((width + 1) / 2)) / math.sqrt(math.pi)


def chance_average(d: int, width: int) -> float:
    """Average |cos| of d random directions in `width` dimensions, the zero diagonal counted.

    For comparison with `avg_abs_cos`, which counts it too: `chance_level` times (d - 1) / d.
    """
    return chance_level(width) * (d - 1) / d


def purity_scores(image_neurons: Array, text_neurons: Array) -> torch.Tensor:
    """Score of each neuron: how similar it is to the others, summed over both towers.

    score(j) = sum_i |C_image[j, i]| + sum_i |C_text[j, i]|. High purity is a *low* score.

    Parameters
    ----------
    image_neurons : float tensor of shape (d, width_I)
    text_neurons : float tensor of shape (d, width_T)
        On the image neurons' device; the widths may differ, d may not.

    Returns
    -------
    scores : float tensor of shape (d,)
        In [0, 2 (d - 1)].
    """
    image_neurons = check_neurons(image_neurons, "image_neurons")
    text_neurons = check_neurons(text_neurons, "text_neurons")
    if len(image_neurons) != len(text_neurons):
        turned = image_neurons.shape[1:] == text_neurons.shape[1:]
        hint = "; of a matrix (width, d) take neurons_of(projection)" if turned else ""
        raise ValueError(
            f"expected as many image as text neurons, got {len(image_neurons)} and "
            f"{len(text_neurons)}{hint}"
        )
    towers = image_neurons, text_neurons
    return sum(cosine_matrix(neurons).abs().sum(1) for neurons in towers)  # (d,)


def mean_abs_cos(image_neurons: Array, text_neurons: Array) -> torch.Tensor:
    """Mean |cos| of each neuron with the others, over both towers: its score, scaled to [0, 1].

    Float tensor of shape (d,), with the parameters and the order of `purity_scores`.
    """
    scores = purity_scores(image_neurons, text_neurons)
    return scores / (2 * (len(scores) - 1))


def purity_order(image_neurons: Array, text_neurons: Array) -> torch.Tensor:
    """Neurons from the purest to the least pure; equal scores by index.

    For low purity use `low_purity_order`: this order reversed differs from it in ties.

    Returns
    -------
    order : int64 tensor of shape (d,)
        A permutation of 0 .. d-1.
    """
    return purity_scores(image_neurons, text_neurons).argsort(stable=True)


def low_purity_order(image_neurons: Array, text_neurons: Array) -> torch.Tensor:
    """Neurons from the least pure to the purest; equal scores by index."""
    return purity_scores(image_neurons, text_neurons).argsort(descending=True, stable=True)
