"""What will a run of a profile cost: what it downloads and computes, and what is missing."""

from dataclasses import replace

from featpurity.check import (
    check_files,
    check_settings,
    load_csv,
    missing_of,
    sources_of,
    training_of,
)
from featpurity.costs import Size, costs
from featpurity.data.catalog import SCENES
from featpurity.models.names import known
from featpurity.profile import COMPARISON, ONLINE, RETRIEVAL, Profile

WIDTH, NEURONS = 768, 512  # of a ViT-B: what sizes are told for where they are not known
VIT_B = 0.6  # gigabytes of its weights


def plan(profile: Profile) -> list[str]:
    """Lines that tell what a run of the profile downloads and computes, and what is missing.

    Raises
    ------
    ValueError, FileNotFoundError
        For what cannot run, as in `featpurity.check.check`; what is only missing is listed.
    """
    models, datasets, pairs = sources_of(profile)
    named = dict(zip(profile.datasets, datasets))
    check_settings(profile)
    missing, training = missing_of(models, datasets, pairs), training_of(profile)
    remarks = [] if missing else check_files(profile)
    most = max(profile.n_pairs, profile.online_pairs, profile.atlas_pairs)
    # Counted as they are listed: no picture is opened for that.
    listed = replace(profile, n_pairs=most, unreadable="raise")
    captioned = None if missing else load_csv(listed)
    sources = [*models, *datasets, *pairs]
    wide = max(len(source.name) for source in sources) + 2
    lines = [f"Profile {profile.name}"]
    for title, part in {"Models": models, "Data sets": datasets, "Pairs": pairs}.items():
        lines += ["", title] if part else []
        for source in part:
            lines.append(f"  {source.name:<{wide}}{source.what}{_to_do(source)}")
    return [
        *lines,
        "",
        "To compute (what is stored already is not computed again)",
        f"  trunk features  {len(models)} models x {len(datasets)} data sets, "
        f"{_passes(profile, named, captioned, training)}",
        f"                  kept in {profile.store_dir}/",
        *_training(profile, captioned),
        *_probes(profile, named, training),
        f"  chapters        {', '.join(profile.chapters)}",
        *_chapters(profile, datasets),
        f"  results         {profile.results_dir}/",
        "",
        _to_download(models, [*datasets, *training.values(), *pairs]),
        "",
        "Missing",
        *(f"  {line}" for line in missing or ["nothing"]),
        *(["", "Notes"] if remarks else []),
        *(f"  {remark}" for remark in remarks),
    ]


def _training(profile, captioned):
    if not profile.finetunes:
        return []
    pairs, _ = _pairs_and_pictures(captioned, profile.n_pairs)
    kinds, ratios, seeds = len(profile.kinds), len(profile.ratios), len(profile.seeds)
    return [
        f"  fine-tuning     {kinds * ratios * seeds} runs of {profile.epochs} epochs on "
        f"{pairs:,} pairs: {kinds} kinds of swap x {ratios} ratios x {seeds} seeds"
    ]


def _probes(profile, datasets, training):
    """What linear probes are trained on."""
    if RETRIEVAL not in profile.chapters:
        return []
    probed = [name for name, dataset in datasets.items() if not dataset.several]
    parts = [f"{training[name].images:,} training images of {name}" for name in training]
    if others := [name for name in probed if name not in training]:
        parts.append(f"half of the images of {', '.join(others)}")
    return [f"  linear probes   on {'; '.join(parts)}"] if parts else []


def _chapters(profile, datasets):
    """Time and memory of the chapters of which they are known; which the others are."""
    compared = list(filter(None, map(known, profile.models_of(COMPARISON))))
    neurons = [model.d or NEURONS for model in compared]
    weights = [(model.here.stat().st_size / 1e9) if model.here else VIT_B for model in compared]
    sizes = [
        Size(dataset.images, dataset.classes)
        for dataset in datasets
        if dataset.images and dataset.classes
    ]
    told, lines = costs(profile, neurons, weights, sizes), []
    for chapter, cost in told.items():
        time = f"{cost.seconds:.0f} s" if cost.seconds < 100 else f"{cost.seconds / 60:.0f} min"
        lines.append(f"{chapter}: about {time}, {cost.gigabytes:.1f} GB")
    lines += ["on one core, once the features are stored"] if told else []
    untold = [chapter for chapter in profile.chapters if chapter not in told]
    lines += [f"time not known for {', '.join(untold)}"] if untold else []
    return [f"                  {line}" for line in lines]


def _to_download(models, data):
    archives = {}  # data and pairs may come in one
    for source in data:
        archive = source.archive or source.name
        archives[archive] = max(archives.get(archive, 0), source.megabytes or 0)
    megabytes = sum(archives.values()) + sum(model.megabytes or 0 for model in models)
    sources = [*models, *data]
    bound = "at least" if any(source.at_least for source in sources) else "about"
    unknown = any(source.megabytes is None for source in sources)
    return f"To download: {bound} {megabytes:,.0f} MB{' and files of unknown size' * unknown}"


def _passes(profile, datasets, captioned, training):
    """How many pictures go through an image tower, and the size of the features that they leave.

    `captioned` holds the pairs of a file, where they are there, `training` the images of probes.
    """
    passes = len(profile.models) * sum(_images(datasets).values())
    probed = len(set(profile.models_of(RETRIEVAL)))
    passes += probed * sum(source.images for source in training.values())
    for models, n_pairs, crops in profile.pair_passes:
        pairs, pictures = _pairs_and_pictures(captioned, n_pairs)
        passes += len(models) * (pairs * crops if crops else pictures)
    if ONLINE in profile.chapters:  # the runs at every epoch, the stored crops, the pictures
        runs = len(profile.kinds) * len(profile.ratios)
        pairs, pictures = _pairs_and_pictures(captioned, profile.online_pairs)
        passes += pairs * (runs * profile.epochs + profile.n_views) + pictures
    gigabytes = passes * WIDTH * (4 if profile.precision == "fp32" else 2) / 1e9
    return f"{passes:,} pictures through a tower, {gigabytes:.2g} GB at {WIDTH} numbers each"


def _pairs_and_pictures(captioned, most):
    """How many pairs there are, at most so many, and how many pictures: some have many captions."""
    if captioned is None:
        return most, most
    pairs = min(most, len(captioned))
    return pairs, len(set((captioned.image_names or range(pairs))[:pairs]))


def _images(datasets):
    """Images of each data set; the generated ones ask about the same pictures."""
    return {
        "scenes" if name in SCENES else name: dataset.images or 0
        for name, dataset in datasets.items()
    }


def _to_do(source):
    if source.missing or source.megabytes == 0:
        return ""
    if source.megabytes is None:
        return "; to download, size not known before"
    return f"; to download, {'at least' if source.at_least else 'about'} {source.megabytes:,.0f} MB"
