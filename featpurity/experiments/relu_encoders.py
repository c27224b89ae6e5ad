"""The paper's encoders with one hidden layer, trained on many sets of texts at once.

Both encoders give one number per neuron, the soft-thresholded product of its weights with the
input: relu(w . x - b) - relu(-w . x - b). With b = 0 this is w . x, a linear map; only the
threshold b makes one basis of the hidden neurons differ from another.

References
----------
Sun, Zhang, Li & Wang (NeurIPS 2025): sections 2.1, 3.1 and 3.3, appendices B.3 and D to I.
HaoChen, Wei, Gaidon & Ma (NeurIPS 2021), for the spectral contrastive loss.
Wen & Li (ICML 2021), for the activation with two thresholds."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Training:
    """How to train encoders. The paper gives neurons and batch size; for the rest see below.

    In the paper the threshold is 0 in phase one and sqrt(log d / d) times the neurons' norm at the
    start of phase two, where it grows with them; it is fixed in phase three. The lengths of the
    phases, the step (0.001 in the paper, for a loss whose scale is not given) and the initial norm
    are ours.
    """

    neurons: int = 80
    batch_size: int = 500
    phases: tuple[int, int, int] = (40, 150, 150)  # steps
    learning_rate: float = 1.0
    initial_norm: float = 0.01  # of a neuron
    threshold: float = 0.28  # as a share of a neuron's norm: sqrt(log d / d) for d = 50
    decoder_steps: int = 100
    decoder_learning_rate: float = 0.5


TRAINING = Training()


@dataclass(frozen=True)
class Encoders:
    """Image and text encoders of several runs; neurons i of both towers are a pair."""

    image: torch.Tensor  # (n_runs, m, width)
    text: torch.Tensor  # (n_runs, m, width)
    threshold: torch.Tensor  # (n_runs, m)

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings (n_runs, n, m) of images (n, width) or (n_runs, n, width)."""
        return soft_threshold(images @ self.image.mT, self.threshold)

    def embed_texts(self, texts: torch.Tensor) -> torch.Tensor:
        """Embeddings (n_runs, n, m) of texts (n, width) or (n_runs, n, width)."""
        return soft_threshold(texts @ self.text.mT, self.threshold)

    def only(self, run: int) -> "Encoders":
        """The encoders of one run."""
        return Encoders(*(part[run : run + 1] for part in (self.image, self.text, self.threshold)))

    def rotated(self, rotation: torch.Tensor) -> "Encoders":
        """The same encoders with their hidden neurons' weights mixed by `rotation` (m, m)."""
        return Encoders(rotation @ self.image, rotation @ self.text, self.threshold)


def soft_threshold(products: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """relu(p - b) - relu(-p - b): the part of each product beyond its neuron's threshold.

    Parameters
    ----------
    products : float tensor of shape (n_runs, n, m)
    threshold : float tensor of shape (n_runs, m), 0 or more

    Returns
    -------
    activations : float tensor of shape (n_runs, n, m)
    """
    threshold = threshold[:, None]
    return torch.relu(products - threshold) - torch.relu(-products - threshold)


def spectral_loss(images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Spectral contrastive loss: half the mean square of all products minus the pairs' mean.

    The paper's temperature only scales the embeddings, and is 1 here.

    Parameters
    ----------
    images, texts : float tensors of shape (n_runs, n, m)
        Embeddings, not normalised; row i of one belongs to row i of the other.

    Returns
    -------
    loss : float tensor of shape (n_runs,)
    """
    n = images.shape[1]
    pairs = (images * texts).sum((1, 2)) / n
    # The sum of squares of all n x n products, from two m x m matrices.
    squares = ((images.mT @ images) * (texts.mT @ texts)).sum((1, 2)) / n**2
    return squares / 2 - pairs


def train(
    images: torch.Tensor, texts: torch.Tensor, seed: int, training: Training = TRAINING
) -> Encoders:
    """Train encoders from the same start on the same images, with other texts in each run.

    Parameters
    ----------
    images : float tensor of shape (n, width)
    texts : float tensor of shape (n_runs, n, width)
    seed : int
        For the first weights and the order of the pairs, the same for all runs.
    training : Training
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (training.neurons, images.shape[1])
    scale = training.initial_norm / shape[1] ** 0.5
    towers = [
        (torch.randn(shape, generator=generator) * scale).repeat(len(texts), 1, 1) for _ in range(2)
    ]
    towers = [weights.requires_grad_() for weights in towers]
    optimiser = torch.optim.SGD(towers, lr=training.learning_rate)
    encoders = Encoders(*towers, torch.zeros(len(texts), training.neurons))
    first, second, third = training.phases
    batches = _batches(len(images), training.batch_size, first + second + third, generator)
    for step, batch in enumerate(batches):
        if first <= step < first + second:
            encoders = Encoders(*towers, training.threshold * _norms(*towers))
        seen = images[batch], texts.index_select(1, batch)  # faster than texts[:, batch]
        loss = spectral_loss(encoders.embed_images(seen[0]), encoders.embed_texts(seen[1]))
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
    return Encoders(*(weights.detach() for weights in towers), encoders.threshold)


def train_captioner(
    encoders: Encoders,
    images: torch.Tensor,
    texts: torch.Tensor,
    seed: int,
    training: Training = TRAINING,
) -> Encoders:
    """Train encoders into captioners that write the texts of clean pairs.

    A captioner writes y = V^T soft_threshold(W x), starting from the encoders' weights W of images
    and V of texts. All weights are first multiplied by the factor that makes its captions fit best,
    as embeddings and texts differ in scale.

    Parameters
    ----------
    encoders : Encoders
    images, texts : float tensors of shape (n, width)
        Clean pairs.
    seed : int
        For the order of the pairs.

    Returns
    -------
    captioners : Encoders
        For `write_captions`.
    """
    generator = torch.Generator().manual_seed(seed)
    first = write_captions(encoders, images)
    fit = (first * texts).sum((1, 2)) / first.square().sum((1, 2)).clamp(min=1e-12)
    scale = fit.clamp(min=1e-6).sqrt()[:, None, None]  # captions scale with the weights squared
    towers = [(weights * scale).requires_grad_() for weights in (encoders.image, encoders.text)]
    captioners = Encoders(*towers, encoders.threshold * scale[:, 0])
    optimiser = torch.optim.SGD(towers, lr=training.decoder_learning_rate)
    steps = training.decoder_steps
    for batch in _batches(len(images), training.batch_size, steps, generator):
        error = write_captions(captioners, images[batch]) - texts[batch]
        optimiser.zero_grad()
        (error.square().sum() / (2 * len(batch))).backward()
        optimiser.step()
    return Encoders(*(weights.detach() for weights in towers), captioners.threshold)


def write_captions(captioners: Encoders, images: torch.Tensor) -> torch.Tensor:
    """Captions (n_runs, n, width) of images (n, width)."""
    return captioners.embed_images(images) @ captioners.text


def _norms(image, text):
    """Root mean square of each neuron's two weight norms: (n_runs, m), without gradient."""
    squares = image.detach().square().sum(2) + text.detach().square().sum(2)
    return (squares / 2).sqrt()


def _batches(n, size, steps, generator):
    """Yield `steps` batches of indices: passes over all n in random order."""
    done = 0
    while done < steps:
        for batch in torch.randperm(n, generator=generator).split(size):
            if done == steps:
                return
            yield batch
            done += 1
