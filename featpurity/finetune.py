"""Fine-tune the two projections of a CLIP model on captions, right or misaligned; everything else is frozen.

Two ways with the same steps: *cached* on stored trunk features (here, one run; `featpurity.sweep`, many), and
*online*, the paper's way, where the frozen towers see every image at every step:

    torchrun --nproc_per_node=4 -m featpurity.finetune --train-data pairs.csv --output-dir results/online
"""

import torch
import torch.nn.functional as F

from featpurity.sweep import sweep_projections
from featpurity.zeroshot import accuracy


def finetune_projections(clip, image_features, text_features, permutation=None, *, seed=0, **options):
    """Train the two projections on stored trunk features with the symmetric contrastive loss.

    Parameters
    ----------
    clip : ClipModel
        Start of the training; it is not changed.
    image_features : float tensor of shape (n, width_image) or (n_views, n, width_image)
        Trunk features of the images; of several views one is drawn at each step.
    text_features : float tensor of shape (n, width_text) or (n_views, n, width_text)
        Trunk features of the captions.
    permutation : int64 array of shape (n,), optional
        Image i is paired with caption ``permutation[i]`` (see `swap_captions`).
    seed : int, default 0
    **options
        ``epochs=10, batch_size=1024, learning_rate=1e-3, weight_decay=0.5, betas=(0.9, 0.98),
        warmup_epochs=1, train_logit_scale=False`` and the others of `featpurity.schedule.Settings`;
        ``evaluate, device, checkpoint, progress`` of `featpurity.sweep.sweep_projections`.

    Returns
    -------
    image_neurons, text_neurons : float tensors of shape (d, width), on the CPU
    history : DataFrame
        A row for each epoch, 0 is before training: epoch, loss, logit_scale, image_avg_abs_cos,
        text_avg_abs_cos, and what `evaluate` gave.

    Raises
    ------
    ValueError, FloatingPointError
        As `sweep_projections`.

    References
    ----------
    Sun, Zhang, Li & Wang (2025), Contrastive Learning with Data Misalignment; Fan et al. (2023), LaCLIP.
    """
    image_neurons, text_neurons, history = sweep_projections(clip, image_features, text_features,
                                                             [(permutation, seed)], **options)
    return image_neurons[0], text_neurons[0], history.drop(columns="run")


def zero_shot(clip, datasets, device=None):
    """A function of the neurons that gives the zero-shot accuracy on some data sets, for `evaluate`.

    Parameters
    ----------
    clip : ClipModel
        For its biases.
    datasets : dict of name -> (image_features, labels, prompt_features)
        Trunk features (n, width_image) and labels (n,) of the images, trunk features of the prompts
        (n_classes, n_templates, width_text). Data sets may share one tensor of images, projected once.
    device : str or torch.device, optional
        Where the training runs, if not where the features are.

    Returns
    -------
    evaluate : callable
        ``evaluate(image_neurons, text_neurons)`` -> dict with ``accuracy_<name>`` in [0, 1].
    """
    moved = {}

    def move(tensor):  # a tensor that several data sets share stays one
        return None if tensor is None else moved.setdefault(id(tensor), tensor.to(device or tensor.device))

    image_bias, text_bias = move(clip.image_bias), move(clip.text_bias)
    datasets = {name: tuple(map(move, parts)) for name, parts in datasets.items()}

    @torch.no_grad()
    def evaluate(image_neurons, text_neurons):
        embedded, found = {}, {}
        for name, (images, labels, prompts) in datasets.items():
            if id(images) not in embedded:
                embedded[id(images)] = F.normalize(F.linear(images, image_neurons, image_bias), dim=1)
            units = F.normalize(F.linear(prompts, text_neurons, text_bias), dim=2)  # (classes, templates, d)
            classes = F.normalize(units.mean(1), dim=1)
            found[f"accuracy_{name}"] = accuracy(embedded[id(images)], classes, labels)
        return found

    return evaluate


if __name__ == "__main__":
    from featpurity.online import main  # late: brings the model and data modules

    main()
