"""Run each tower once: trunk features and embeddings, kept in a store on disk.

The store holds what enters a projection, so that every projection fine-tuned on one trunk shares
them. Several processes may work on one store: under torchrun each takes its share of the shards,
and otherwise the last to finish a shard leaves its equal result.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from featpurity.data.images import EncodedImages, subset
from featpurity.data.prompts import fill
from featpurity.features.store import Shards, keep
from featpurity.files import digest, write_text

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def embed_images(clip, dataset, store=None, **options):
    """Unit embeddings of a data set's images, and their labels.

    Parameters
    ----------
    clip : ClipModel
    dataset : LabelledImages
    store : str or Path, optional
        Folder of stored trunk features; without it nothing is kept.
    **options
        See `image_trunk_features`.

    Returns
    -------
    embeddings : float tensor of shape (n, d)
        Unit rows, on the CPU.
    labels : int64 tensor of shape (n,)
    """
    features = image_trunk_features(clip, dataset, store, **options)
    return _project(clip, clip.project_image, features), torch.as_tensor(
        dataset.labels, dtype=torch.int64
    )


def embed_texts(clip, texts, store=None, **options):
    """Unit embeddings of texts, float of shape (n, d) on the CPU; see `text_trunk_features`."""
    return _project(clip, clip.project_text, text_trunk_features(clip, texts, store, **options))


def embed_classes(clip, classes, templates, store=None, **options):
    """The zero-shot classifier of `featpurity.class_embeddings`, its prompts' trunk features from the store when there.

    The parameters are as there and in `text_trunk_features`; float tensor of shape (n_classes, d)
    on the CPU, unit rows.
    """
    units = embed_texts(
        clip, fill(classes, templates), store, **options
    )  # those of a class side by side
    return F.normalize(units.unflatten(0, (len(classes), len(templates))).mean(1), dim=1)


def image_trunk_features(clip, dataset, store=None, **options):
    """What enters the image projection, for each image: float tensor of shape (n, width_I) on the CPU.

    Options and errors are those of `image_trunk_features_of`, which does the work for several
    models.
    """
    return image_trunk_features_of([clip], dataset, store, **options)[0]


def image_trunk_features_of(
    clips,
    dataset,
    store=None,
    batch_size=256,
    workers=0,
    precision="fp32",
    compiled=False,
    progress=True,
):
    """Image trunk features of several models; each image is decoded once for all that share a preprocessing.

    Parameters
    ----------
    clips : list of ClipModel
    dataset : LabelledImages or CaptionedImages
    store : str or Path, optional
    batch_size : int
        Images a step.
    workers : int
        Processes that decode; 0 decodes in this one.
    precision : {"fp32", "bf16", "fp16"}
        Of the computing (autocast) and of the stored numbers.
    compiled : bool
        Whether `torch.compile` prepares the tower: minutes at first, faster after.
    progress : bool
        Whether a progress bar shows on stderr.

    Returns
    -------
    features : list of float32 tensors of shape (n, width_I), on the CPU

    Raises
    ------
    ValueError
        Before any model runs: for unreadable images, all named at once, or unknown options. Later:
        for features that are not finite.
    TimeoutError
        Under torchrun, when another process stops writing its shards.
    """
    _check(precision, batch_size, len(dataset))
    images, inverse = _distinct(dataset.images)
    keys = [
        ("image", clip.image_key, clip.preprocess_name, dataset.images_key, precision)
        for clip in clips
    ]
    shards = [Shards(store, key, len(images)) for key in keys]
    if any(one.missing for one in shards):
        refuse_unreadable(dataset, store)
    by_preprocessing = {}
    for clip, one in zip(clips, shards):
        by_preprocessing.setdefault(repr(clip.preprocess), []).append((clip, one))
    for group in by_preprocessing.values():
        towers = [(runner(clip, clip.image_trunk, precision, compiled), one) for clip, one in group]
        batches = _batches([one for _, one in group], batch_size)
        loader = decoder(images, batches, group[0][0], workers)
        names = ", ".join(clip.name for clip, _ in group)
        _fill(towers, batches, loader, progress and f"{dataset.name} | {names}")
    return [one.features()[inverse] for one in shards]


def text_trunk_features(clip, texts, store=None, batch_size=256, precision="fp32", progress=True):
    """What enters the text projection, for each text: float32 tensor of shape (n, width_T) on the CPU.

    Texts that repeat are computed once. The parameters are as in `image_trunk_features_of`.
    """
    _check(precision, batch_size, len(texts))
    distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    unique = list(distinct)
    shards = Shards(store, ("text", clip.text_key, digest(unique), precision), len(unique))
    batches = _batches([shards], batch_size)
    tokens = (clip.tokenizer(unique[start:stop]) for start, stop in batches)
    tower = runner(clip, clip.text_trunk, precision)
    _fill([(tower, shards)], batches, tokens, progress and f"texts | {clip.name}")
    return shards.features()[[distinct[text] for text in texts]]


def decoder(images, batches, clip, workers=0):
    """Batches of decoded and preprocessed images (size, 3, S, S), one for each range (start, stop)
    in `batches`.
    """
    rows = [range(*batch) for batch in batches]
    return DataLoader(
        _Decoded(images, clip.preprocess),
        batch_sampler=rows,
        num_workers=workers,
        pin_memory=clip.device.type == "cuda",
    )


class _Decoded(Dataset):
    def __init__(self, images, preprocess):
        self.images, self.preprocess = images, preprocess

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.preprocess(self.images[i])


def runner(clip, trunk, precision, compiled=False):
    """A function of a batch, wherever it is, to the trunk's features on the model's device, in a
    precision.
    """
    trunk = torch.compile(trunk) if compiled else trunk
    kind = PRECISIONS[precision]

    @torch.no_grad()
    def run(batch):
        layout = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
        batch = batch.to(clip.device, non_blocking=True, memory_format=layout)
        with torch.autocast(clip.device.type, kind, enabled=kind is not None):
            features = trunk(batch)
        return features.to(kind or torch.float32)

    run.name = f"{clip.name} in {precision}"
    return run


def _batches(shards, batch_size):
    """Ranges of rows that any of the shards lack and this process computes, none across the end of
    a shard.
    """
    ranges = sorted({part for one in shards for part in one.mine()})
    return [
        (row, min(row + batch_size, stop))
        for start, stop in ranges
        for row in range(start, stop, batch_size)
    ]


def _fill(towers, batches, loaded, title):
    """Run every tower on every batch that it lacks; shards go to the store as they are finished."""
    rows = sum(stop - start for start, stop in batches)
    with tqdm(total=rows, desc=title or None, disable=not (title and rows), unit="row") as bar:
        for (start, stop), batch in zip(batches, loaded):
            for tower, shards in towers:
                if shards.lacks(start):
                    shards.add(start, stop, tower(batch), tower.name)
            bar.update(stop - start)
    for _, shards in towers:
        shards.wait_for_others()


def _distinct(images):
    """The images without those named before, and for every image its place among them."""
    names = getattr(images, "names", range(len(images)))
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    inverse = torch.tensor([places[name] for name in names])
    if len(places) == len(images):
        return images, inverse
    first = {name: row for row, name in reversed(list(enumerate(names)))}
    return subset(images, [first[name] for name in places]), inverse


def refuse_unreadable(dataset, store):
    """Open every image file once before any model runs; the store remembers which data sets passed."""
    if not isinstance(dataset.images, EncodedImages):
        return
    passed = Path(store) / "readable" / dataset.images_key if store else None
    if passed and passed.exists():
        return
    broken = dataset.images.unreadable()
    if broken:
        listed = "\n".join(
            f"  {dataset.images.source / name}: {why}" for name, why in broken.items()
        )
        raise ValueError(
            f"{dataset.name}: {len(broken)} of {len(dataset)} images cannot be read; mend or remove "
            f"them, or load the data set with unreadable='skip':\n{listed}"
        )
    if passed:
        keep(lambda: write_text(passed, ""), Path(store))


def _project(clip, project, features, batch_size=65536):
    parts = (project(part.to(clip.device)).float() for part in features.split(batch_size))
    embeddings = torch.cat([F.normalize(part, dim=1).cpu() for part in parts])
    if not torch.isfinite(embeddings).all():
        raise ValueError(
            f"{clip.name}: embeddings hold NaN or infinity; its projection or trunk is broken"
        )
    return embeddings


def _check(precision, batch_size, n):
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if batch_size < 1 or n < 1:
        raise ValueError(
            f"expected a batch size of 1 or more and at least one row, got {batch_size} and {n}"
        )


@torch.no_grad()
def class_embeddings(clip, classes, templates):
    """Zero-shot classifier: one unit row a class, the mean of its prompts' unit embeddings.

    Parameters
    ----------
    clip : ClipModel
        Anything with `tokenizer(list of str)` and `encode_text(tokens)`.
    classes : list of str
        Class names, as they should read in a sentence.
    templates : list of str
        Prompt templates, each with one "{}" for the class name.

    Returns
    -------
    class_embeddings : float tensor of shape (n_classes, d)
        Unit rows, on the model's device.
    """
    prompts = fill(classes, templates)
    rows = []
    for start in range(0, len(prompts), len(templates)):
        tokens = clip.tokenizer(prompts[start : start + len(templates)])
        unit = F.normalize(clip.encode_text(tokens).float(), dim=1)  # (n_templates, d)
        rows.append(unit.mean(0))
    return F.normalize(torch.stack(rows), dim=1)  # (n_classes, d)
