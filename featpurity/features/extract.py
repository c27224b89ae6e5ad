"""Run each tower once and keep trunk features in a store on disk; make embeddings of them.

The store holds what enters a projection, so all projections fine-tuned on one trunk share it.
Several processes may use one store: under torchrun each takes its share of the shards; otherwise
the last to finish a shard overwrites it with an equal one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from tqdm.auto import tqdm

from featpurity.data.datasets import groups_of_classes, left_out
from featpurity.data.images import EncodedImages, subset
from featpurity.data.prompts import as_texts, fill
from featpurity.features.store import Shards, keep
from featpurity.files import check_choice, digest, write_text
from featpurity.models.clip import ClipModel
from featpurity.models.device import pick_device

COUNTED = 1000  # pairs whose captions are counted: tokenizers take a second for ten thousand
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def embed_images(
    clip: ClipModel,
    dataset: Any,
    store: str | Path | None = None,
    device: str | torch.device = "cpu",
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit embeddings of a data set's images, and their labels.

    Parameters
    ----------
    clip : ClipModel
    dataset : LabelledImages
    store : str or Path, optional
        Folder of stored trunk features; without it nothing is stored.
    device : str or torch.device, default "cpu"
        Where to put both results.
    **options
        See `each_image_trunk_features`.

    Returns
    -------
    embeddings : float tensor of shape (n, d)
        Unit rows.
    labels : int64 tensor of shape (n,)
    """
    if not hasattr(dataset, "labels"):
        raise TypeError(
            f"expected a data set as load_dataset gives it, got a {type(dataset).__name__}; "
            "image_trunk_features takes pictures without labels too"
        )
    device = pick_device(device)
    features = image_trunk_features(clip, dataset, store, **options)
    return unit_embeddings(clip, clip.project_image, features, device), labels_on(device, dataset)


def labels_on(device: str | torch.device, dataset: Any) -> torch.Tensor:
    """A copy of a data set's labels, int64: changing it leaves the data set alone."""
    return torch.as_tensor(dataset.labels).to(device, torch.int64, copy=True)


def embed_texts(
    clip: ClipModel,
    texts: Sequence[str],
    store: str | Path | None = None,
    device: str | torch.device = "cpu",
    **options: Any,
) -> torch.Tensor:
    """Unit embeddings of texts, float of shape (n, d) on `device`; see `text_trunk_features`."""
    device = pick_device(device)
    features = text_trunk_features(clip, texts, store, **options)
    return unit_embeddings(clip, clip.project_text, features, device)


def embed_classes(
    clip: ClipModel,
    classes: Sequence[str],
    templates: Sequence[str],
    store: str | Path | None = None,
    **options: Any,
) -> torch.Tensor:
    """The zero-shot classifier of `class_embeddings`, with trunk features from the store.

    Parameters are those of `class_embeddings` and `embed_texts`. Float (n_classes, d), unit rows.
    """
    classes, templates = as_texts("classes", classes), as_texts("templates", templates)
    units = embed_texts(clip, prompts_for(clip, classes, templates), store, **options)
    return classifier_of(units.unflatten(0, (len(classes), len(templates))))


def prompts_for(clip: ClipModel, classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """The prompts of `featpurity.data.prompts.fill`, once the model can tell the classes apart.

    Raises
    ------
    ValueError
        For two classes whose prompts all have the same tokens, and so would be one class: their
        names differ only in case, or beyond the model's context.
    """
    classes, templates = as_texts("classes", classes), as_texts("templates", templates)
    prompts = fill(classes, templates)  # grouped by class
    of_class, first = {name: fill([name], templates) for name in classes}, {}
    for name, tokens in zip(of_class, clip.tokenizer([own[0] for own in of_class.values()])):
        other = first.setdefault(tuple(tokens.tolist()), name)
        if other != name and torch.equal(*(clip.tokenizer(of_class[it]) for it in (other, name))):
            raise ValueError(
                f"{clip.name}: its tokenizer cannot tell the classes {other!r:.80} and "
                f"{name!r:.80} apart: case does not count, nor what is beyond its "
                f"{len(tokens)} tokens; expected class names that differ otherwise"
            )
    return prompts


def classifier_of(units: torch.Tensor) -> torch.Tensor:
    """Zero-shot classifier (n_classes, d): unit means of `units` (n_classes, n_templates, d)."""
    return F.normalize(units.mean(1), dim=1)


def unit_embeddings(
    clip: ClipModel,
    project: Callable[[torch.Tensor], torch.Tensor],
    features: torch.Tensor,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Unit embeddings, float of shape (n, d): trunk features through one of a model's projections.

    Raises
    ------
    ValueError
        If embeddings hold NaN or infinity.
    """
    parts = (project(part.to(clip.device)).float() for part in features.split(2**16))
    embeddings = torch.cat([F.normalize(part, dim=1).to(device) for part in parts])
    if not torch.isfinite(embeddings).all():
        raise ValueError(
            f"{clip.name}: embeddings hold NaN or infinity; its projection or trunk is broken"
        )
    return embeddings


def image_trunk_features(
    clip: ClipModel, dataset: Any, store: str | Path | None = None, **options: Any
) -> torch.Tensor:
    """What enters the image projection, for each image: float32 of shape (n, width_I) on the CPU.

    Options and errors are those of `each_image_trunk_features`.
    """
    ((features,),) = each_image_trunk_features([clip], [dataset], store, **options)
    return features


def each_image_trunk_features(
    clips: Sequence[ClipModel],
    datasets: Sequence[Any],
    store: str | Path | None = None,
    batch_size: int = 256,
    workers: int = 0,
    precision: str = "fp32",
    compiled: bool = False,
    progress: bool = True,
) -> Iterator[list[torch.Tensor]]:
    """Image trunk features of several models, one data set after another.

    Each image is decoded once for all models. The decoding processes go on from one data set to the
    next, so that the device does not wait for new ones to start.

    Parameters
    ----------
    clips : sequence of ClipModel
    datasets : sequence of LabelledImages or CaptionedImages
    store : str or Path, optional
    batch_size : int
        Images per step.
    workers : int
        Decoding processes; 0 decodes in this one.
    precision : {"fp32", "bf16", "fp16"}
        Of the computation (autocast) and of the stored numbers. On a GPU, PyTorch computes
        convolutions in TensorFloat-32 unless `torch.backends.cudnn.allow_tf32` is False.
    compiled : bool
        Whether to `torch.compile` the towers: minutes at first, faster afterwards.
    progress : bool
        Whether to show a progress bar for each data set on stderr.

    Yields
    ------
    features : list of float32 tensors of shape (n, width_I), on the CPU
        One per model, for each data set in turn.

    Raises
    ------
    ValueError
        Before any model runs: for unreadable images of any data set, all named at once, or for
        unknown options. Later: for features that are not finite.
    TimeoutError
        Under torchrun, if another process stops writing its shards.
    """
    for dataset in datasets:
        _check(precision, batch_size, len(dataset))
    distinct = [_distinct(dataset.images) for dataset in datasets]
    # Data sets of the same pictures, such as the attributes of the generated world, share features.
    keys = [dataset.images_key for dataset in datasets]
    firsts = {key: keys.index(key) for key in keys}
    shards = {
        key: [image_shards(clip, key, len(distinct[i][0]), store, precision) for clip in clips]
        for key, i in firsts.items()
    }
    for key, i in firsts.items():
        if any(of_clip.missing for of_clip in shards[key]):
            refuse_unreadable(datasets[i], store)
    forms = list(dict.fromkeys(clip.preprocess for clip in clips))  # equal ones once
    used = [forms.index(clip.preprocess) for clip in clips]
    towers = [runner(clip, clip.image_trunk, precision, compiled) for clip in clips]
    batches = {key: _batches(own, batch_size) for key, own in shards.items()}
    pinned = any(clip.device.type == "cuda" for clip in clips)
    pictures = [distinct[i][0] for i in firsts.values()]
    loaded = iter(decoder(pictures, list(batches.values()), forms, workers, pinned))
    names = ", ".join(clip.name for clip in clips)
    for i, (dataset, key) in enumerate(zip(datasets, keys)):
        if i == firsts[key]:
            title = progress and f"{dataset.name} | {names}"
            _fill(list(zip(towers, shards[key], used)), batches[key], loaded, title)
        last = key not in keys[i + 1 :]  # they are freed once yielded
        yield _given(shards.pop(key) if last else shards[key], distinct[i][1])


def _given(shards, rows):
    """The features of each model at `rows`."""
    return [of_clip.features()[rows] for of_clip in shards]


def image_shards(
    clip: ClipModel, images_key: str, n: int, store: str | Path | None, precision: str = "fp32"
) -> Shards:
    """The stored features of n distinct pictures; the key holds all they depend on."""
    key = "image", clip.image_key, clip.preprocess_name, images_key, precision
    return Shards(store, key, n)


def text_shards(
    clip: ClipModel, texts: Sequence[str], store: str | Path | None, precision: str = "fp32"
) -> Shards:
    """The stored features of distinct texts; the key holds all they depend on."""
    return Shards(store, ("text", clip.text_key, digest(texts), precision), len(texts))


def text_trunk_features(
    clip: ClipModel,
    texts: Sequence[str],
    store: str | Path | None = None,
    batch_size: int = 256,
    precision: str = "fp32",
    progress: bool = True,
) -> torch.Tensor:
    """What enters the text projection, for each text: float32 of shape (n, width_T) on the CPU.

    Repeated texts are computed once. Parameters are as in `each_image_trunk_features`.
    """
    texts = as_texts("texts", texts)
    _check(precision, batch_size, len(texts))
    distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    unique = list(distinct)
    shards = text_shards(clip, unique, store, precision)
    batches = _batches([shards], batch_size)
    tokens = ([clip.tokenizer(unique[start:stop])] for start, stop in batches)
    tower = runner(clip, clip.text_trunk, precision)
    _fill([(tower, shards, 0)], batches, tokens, progress and f"texts | {clip.name}")
    return shards.features()[[distinct[text] for text in texts]]


def decoder(
    pictures: Sequence[Any],
    batches: Sequence[Sequence[tuple[int, int]]],
    preprocessings: Sequence[Callable],
    workers: int = 0,
    pinned: bool = False,
) -> DataLoader | tuple:
    """Batches of decoded pictures from several collections, one after another.

    Parameters
    ----------
    pictures : sequence of sequences of PIL images
    batches : ranges (start, stop) of rows, for each collection
    preprocessings : sequence of callables
        Each picture is decoded once for all of them.
    workers : int
        Decoding processes for all collections; 0 decodes in this one.
    pinned : bool
        Whether to put batches in pinned memory, for a GPU.

    Yields
    ------
    batch : list of float tensors of shape (size, 3, S, S), one per preprocessing
    """
    decoded = [_Decoded(images, preprocessings) for images in pictures]
    firsts = [0, *ConcatDataset(decoded).cumulative_sizes] if decoded else []
    rows = [
        range(first + start, first + stop)
        for first, ranges in zip(firsts, batches)
        for start, stop in ranges
    ]
    if not rows:  # start no process for nothing
        return ()
    return DataLoader(
        ConcatDataset(decoded),
        batch_sampler=rows,
        num_workers=workers,
        pin_memory=pinned,
        generator=torch.Generator(),  # so that the workers' seeds do not use the user's generator
    )


class _Decoded(Dataset):
    def __init__(self, images, preprocessings):
        self.images, self.preprocessings = images, preprocessings

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        picture = self.images[i]
        return [preprocess(picture) for preprocess in self.preprocessings]


def runner(
    clip: ClipModel, trunk: Callable, precision: str, compiled: bool = False
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function from a batch on any device to the trunk's features on the model's device."""
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
    """Ranges of missing rows that fall to this process, none across the end of a shard."""
    ranges = sorted({part for of_clip in shards for part in of_clip.mine()})
    return [
        (row, min(row + batch_size, stop))
        for start, stop in ranges
        for row in range(start, stop, batch_size)
    ]


def _fill(towers, batches, loaded, title):
    """Run each tower on the batches it lacks; each finished shard goes to the store.

    `towers` holds (tower, its shards, which part of a loaded batch it takes).
    """
    rows = sum(stop - start for start, stop in batches)
    with tqdm(total=rows, desc=title or None, disable=not (title and rows), unit="row") as bar:
        for (start, stop), batch in zip(batches, loaded):
            for tower, shards, part in towers:
                if shards.lacks(start):
                    shards.add(start, stop, tower(batch[part]), tower.name)
            bar.update(stop - start)
    for _, shards, _ in towers:
        shards.wait_for_others()


def _distinct(images):
    """The images without repeats, and for every image its place among these."""
    names = getattr(images, "names", range(len(images)))
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    if len(places) == len(images):
        return images, slice(None)  # which copies nothing
    inverse = torch.tensor([places[name] for name in names])
    first = {name: row for row, name in reversed(list(enumerate(names)))}
    return subset(images, [first[name] for name in places]), inverse


def refuse_unreadable(dataset: Any, store: str | Path | None) -> list[str]:
    """Open every image file once before any model runs; the store remembers data sets that passed.

    Returns
    -------
    remarks : list of str
        A line if viewers would turn some pictures by their EXIF data, which is not applied.

    Raises
    ------
    ValueError
        For pictures that cannot be read.
    """
    if not isinstance(dataset.images, EncodedImages):
        return []
    store = Path(store).expanduser() if store else None
    passed = store / "opened" / dataset.images_key if store else None
    with suppress(OSError):  # no such file, or a colleague's private one
        if passed:
            return _lying(dataset, int(passed.read_text(encoding="utf-8")))
    broken, turned = dataset.images.opened
    if broken:
        listed = "\n".join(
            f"  {dataset.images.source / name}: {why}" for name, why in broken.items()
        )
        raise ValueError(
            f"{dataset.name}: {len(broken)} of {len(dataset)} images cannot be read; mend or "
            f"remove them, or load the data set with unreadable='skip':\n{listed}"
        )
    if passed:
        keep(lambda: write_text(passed, str(len(turned))), store)
    return _lying(dataset, len(turned))


def picture_remarks(datasets: Iterable, store: str | Path | None) -> list[str]:
    """Remarks on pictures: left out, lying on a side, or in folders that may not be classes.

    `datasets` may hold pairs too. For unreadable pictures see `refuse_unreadable`.
    """
    return [
        line
        for dataset in datasets
        for line in (
            *left_out([dataset]),
            *groups_of_classes(dataset),
            *refuse_unreadable(dataset, store),
        )
    ]


def cut_captions(clip: ClipModel, pairs: Any) -> list[str]:
    """A line if captions or rewrites of the first pairs fill a model's context."""
    firsts = zip(pairs.captions[:COUNTED], pairs.rewrites[:COUNTED])
    texts = [text for caption, rewrites in firsts for text in (caption, *rewrites)]
    # One more word changes the tokens of a text, unless it lies beyond the context.
    tokens, longer = clip.tokenizer(texts), clip.tokenizer([f"{text} more" for text in texts])
    count = (tokens == longer).all(dim=1).sum().item()
    if not count:
        return []
    return [
        f"{pairs.name}: {count:,} of the first {len(texts):,} captions fill the context of "
        f"{clip.name}, {tokens.shape[1]} tokens; it does not read what lies beyond"
    ]


def _lying(dataset, count):
    """A line on pictures that are measured as stored, not as viewers show them."""
    if not count:
        return []
    return [
        f"{dataset.name}: {count:,} pictures are measured as they are stored, lying or mirrored: "
        "their EXIF orientation, which viewers apply, is not applied"
    ]


def _check(precision, batch_size, n):
    check_choice("precision", precision, PRECISIONS)
    if batch_size < 1 or n < 1:
        raise ValueError(
            f"expected a batch size of 1 or more and at least one row, got {batch_size} and {n}"
        )


@torch.no_grad()
def class_embeddings(
    clip: ClipModel, classes: Sequence[str], templates: Sequence[str]
) -> torch.Tensor:
    """Zero-shot classifier: for each class the normalised mean of its prompts' unit embeddings.

    Parameters
    ----------
    clip : ClipModel
        Anything with `tokenizer(list of str)` and `encode_text(tokens)`.
    classes : list of str
        Class names as they should read in a sentence.
    templates : list of str
        Prompt templates, each with "{}" or "{c}" for the class name.

    Returns
    -------
    class_embeddings : float tensor of shape (n_classes, d)
        Unit rows, on the model's device.
    """
    classes, templates = as_texts("classes", classes), as_texts("templates", templates)
    prompts = prompts_for(clip, classes, templates)
    rows = []
    for start in range(0, len(prompts), len(templates)):
        tokens = clip.tokenizer(prompts[start : start + len(templates)])
        units = F.normalize(clip.encode_text(tokens).float(), dim=1)  # (n_templates, d)
        rows.append(classifier_of(units[None]))
    return torch.cat(rows)  # (n_classes, d)
