"""Run each tower once: trunk features and embeddings, kept in a store on disk.

The store holds what enters a projection, so that every projection fine-tuned on one trunk shares them. Several
processes may work on one store: under torchrun each takes its share of the shards, and otherwise the last to finish a
shard leaves its equal result.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from featpurity.images import ImageFiles, content_hash
from featpurity.store import Shards

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
    return _project(clip, clip.project_image, features), torch.as_tensor(dataset.labels, dtype=torch.int64)


def embed_texts(clip, texts, store=None, **options):
    """Unit embeddings of texts, float of shape (n, d) on the CPU; see `text_trunk_features`."""
    return _project(clip, clip.project_text, text_trunk_features(clip, texts, store, **options))


def image_trunk_features(clip, dataset, store=None, **options):
    """What enters the image projection, for each image: float tensor of shape (n, width_I) on the CPU.

    Options and errors are those of `image_trunk_features_of`, which does the work for several models.
    """
    return image_trunk_features_of([clip], dataset, store, **options)[0]


def image_trunk_features_of(clips, dataset, store=None, batch_size=256, workers=0, precision="fp32",
                            compiled=False, progress=True):
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
        Before any model runs: for unreadable images, all named at once, or unknown options. Later: for features that
        are not finite.
    """
    _check(precision, batch_size, len(dataset))
    images, rows, inverse = _distinct_images(dataset)
    shards = [Shards(store, ("image", clip.image_key, clip.preprocess_name, dataset.images_key, precision), len(rows))
              for clip in clips]
    if any(one.missing for one in shards):
        _refuse_unreadable(dataset, store)
    by_preprocessing = {}
    for clip, one in zip(clips, shards):
        by_preprocessing.setdefault(repr(clip.preprocess), []).append((clip, one))
    for group in by_preprocessing.values():
        towers = [(_tower(clip, clip.image_trunk, precision, compiled), one) for clip, one in group]
        decoded = _Decoded(images, rows, group[0][0].preprocess)
        batches = _batches([one for _, one in group], batch_size)
        loader = DataLoader(decoded, batch_sampler=[list(range(*batch)) for batch in batches], num_workers=workers,
                            pin_memory=group[0][0].device.type == "cuda")
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
    shards = Shards(store, ("text", clip.text_key, content_hash(unique), precision), len(unique))
    batches = _batches([shards], batch_size)
    tokens = (clip.tokenizer(unique[start:stop]) for start, stop in batches)
    _fill([(_tower(clip, clip.text_trunk, precision), shards)], batches, tokens, progress and f"texts | {clip.name}")
    return shards.features()[[distinct[text] for text in texts]]


class _Decoded(torch.utils.data.Dataset):
    def __init__(self, images, rows, preprocess):
        self.images, self.rows, self.preprocess = images, rows, preprocess

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.preprocess(self.images[self.rows[i]])


def _tower(clip, trunk, precision, compiled=False):
    """The trunk as a function of a batch on the CPU, in a precision, with its name for messages."""
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
    """Ranges of rows that any of the shards lack and this process computes; none crosses the end of a shard."""
    ranges = sorted({part for one in shards for part in one.mine()})
    return [(at, min(at + batch_size, stop)) for start, stop in ranges for at in range(start, stop, batch_size)]


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


def _distinct_images(dataset):
    """The images, the rows of those that differ, and for every image the place of its like among them."""
    names = getattr(dataset.images, "names", range(len(dataset)))
    place, rows = {}, []
    for row, name in enumerate(names):
        if name not in place:
            place[name] = len(rows)
            rows.append(row)
    return dataset.images, rows, torch.tensor([place[name] for name in names])


def _refuse_unreadable(dataset, store):
    """Open every image file once before any model runs; the store remembers which data sets passed."""
    if not isinstance(dataset.images, ImageFiles):
        return
    passed = Path(store) / "readable" / dataset.images_key if store else None
    if passed and passed.exists():
        return
    broken = dataset.images.unreadable()
    if broken:
        listed = "\n".join(f"  {dataset.images.source / name}: {why}" for name, why in broken.items())
        raise ValueError(f"{dataset.name}: {len(broken)} of {len(dataset)} images cannot be read; mend or remove them, or "
                         f"load the data set with unreadable='skip':\n{listed}")
    if passed:
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()


def _project(clip, project, features, batch_size=65536):
    parts = [F.normalize(project(part.to(clip.device)).float(), dim=1).cpu() for part in features.split(batch_size)]
    embeddings = torch.cat(parts)
    if not torch.isfinite(embeddings).all():
        raise ValueError(f"{clip.name}: embeddings hold NaN or infinity; its projection or trunk is broken")
    return embeddings


def _check(precision, batch_size, n):
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if batch_size < 1 or n < 1:
        raise ValueError(f"expected a batch size of 1 or more and at least one row, got {batch_size} and {n} rows")
