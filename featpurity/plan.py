"""What a run of a profile would download and compute, with sizes, and what is missing; nothing starts."""

import logging
from dataclasses import replace
from functools import cache
from pathlib import Path

from .profiles import EXPERIMENTS, FILTER, ONLINE
from .sources import DATASETS, SCENES, sources_of

WIDTH = 768  # of the trunk features of a ViT-B: what sizes are told for


def plan(profile):
    """Lines that tell what a run of the profile downloads and computes, and what is missing."""
    models, datasets, pairs = sources_of(profile)
    models = [_with_size(one) for one in models]
    lines, wide = [f"Profile {profile.name}"], max(len(one.name) for one in [*models, *datasets, *pairs]) + 2
    for title, found in {"Models": models, "Data sets": datasets, "Pairs": pairs}.items():
        lines += ["", title, *(f"  {one.name:<{wide}}{one.what}{_to_do(one)}" for one in found)] if found else []
    runs = len(profile.kinds) * len(profile.ratios) * len(profile.seeds)
    training = [f"  fine-tuning     {runs} runs of {profile.epochs} epochs on {profile.n_pairs:,} pairs: "
                f"{len(profile.kinds)} kinds of swap x {len(profile.ratios)} ratios x {len(profile.seeds)} seeds"]
    megabytes = sum(one.megabytes or 0 for one in [*models, *datasets, *pairs])
    missing = [f"  {one.name}: {one.missing}" for one in [*models, *datasets, *pairs] if one.missing]
    bound = "at least" if any(one.at_least for one in models) else "about"
    unknown = " and files of unknown size" if any(one.megabytes is None for one in models) else ""
    return [
        *lines,
        "",
        "To compute (what is stored already is not computed again)",
        f"  trunk features  {len(models)} models x {len(datasets)} data sets, {_passes(profile)}",
        f"                  kept in {profile.store_dir}/",
        *(training if EXPERIMENTS[2] in profile.chapters else []),
        f"  chapters        {', '.join(profile.chapters)}",
        f"  results         {profile.results_dir}/",
        "",
        f"To download: {bound} {megabytes:,.0f} MB{unknown}",
        "",
        "Missing",
        *(missing or ["  nothing"]),
    ]


def _passes(profile):
    """How many pictures go through an image tower, and the size of the features that they leave."""
    from .datasets import SCENES_TEST, load_dataset  # late: brings torch

    sizes = {"scenes": SCENES_TEST["n"]} if set(SCENES) & set(profile.datasets) else {}  # all six ask about the same ones
    for name in set(profile.datasets) - set(SCENES):
        path = Path(name.removeprefix("folder:")).expanduser()
        sizes[name] = DATASETS[name][0] if name in DATASETS else len(load_dataset(name)) if path.exists() else 0
    passes = len(profile.models) * sum(sizes.values())
    views = {EXPERIMENTS[2]: profile.n_views if profile.augmented else 1, FILTER: 1}  # of the pairs' pictures
    passes += profile.n_pairs * sum(views.get(chapter, 0) for chapter in profile.chapters)
    if ONLINE in profile.chapters:  # the runs at every epoch; the stored views, and the pictures as they are
        runs = len(profile.kinds) * len(profile.ratios)
        passes += profile.online_pairs * (runs * profile.epochs + profile.n_views + 1)
    gigabytes = passes * WIDTH * (4 if profile.precision == "fp32" else 2) / 1e9
    return f"{passes:,} pictures through a tower, {gigabytes:.2g} GB at {WIDTH} numbers each"


def _with_size(source):
    if source.megabytes is None and source.architecture:
        return replace(source, megabytes=_weights_megabytes(source.architecture))
    return source


@cache
def _weights_megabytes(architecture):
    """Megabytes of a model's weights as float32, counted without making them."""
    import open_clip  # late: takes seconds
    import torch

    logging.disable()  # it warns that the weights are random
    try:
        with torch.device("meta"):
            model = open_clip.create_model(architecture, load_weights=False, device="meta")
    finally:
        logging.disable(logging.NOTSET)
    return 4e-6 * sum(weights.numel() for weights in model.parameters())


def _to_do(source):
    if source.missing or source.megabytes == 0:
        return ""
    if source.megabytes is None:
        return "; to download, size not known before"
    return f"; to download, {'at least' if source.at_least else 'about'} {source.megabytes:,.0f} MB"
