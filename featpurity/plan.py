"""What a run of a profile would download and compute, with sizes, and what is missing; nothing
starts.
"""

from featpurity.data.catalog import (
    GENERATED_PAIRS,
    SCENES,
    SCENES_TEST,
    find,
    pairs_source,
    rewrites_source,
)
from featpurity.data.class_names import is_own_list, read_class_names
from featpurity.data.prompts import prompt_set
from featpurity.models.names import resolve
from featpurity.profile import EXPERIMENTS, FILTER, LADDER, ONLINE, PAIRED

WIDTH = 768  # of the trunk features of a ViT-B: what sizes are told for


def plan(profile):
    """Lines that tell what a run of the profile downloads and computes, and what is missing."""
    models, datasets, pairs = sources_of(profile)
    lines, wide = (
        [f"Profile {profile.name}"],
        max(len(one.name) for one in [*models, *datasets, *pairs]) + 2,
    )
    for title, found in {"Models": models, "Data sets": datasets, "Pairs": pairs}.items():
        lines += (
            ["", title, *(f"  {one.name:<{wide}}{one.what}{_to_do(one)}" for one in found)]
            if found
            else []
        )
    runs = len(profile.kinds) * len(profile.ratios) * len(profile.seeds)
    training = [
        f"  fine-tuning     {runs} runs of {profile.epochs} epochs on {profile.n_pairs:,} pairs: "
        f"{len(profile.kinds)} kinds of swap x {len(profile.ratios)} ratios x {len(profile.seeds)} seeds"
    ]
    megabytes = sum(one.megabytes or 0 for one in [*models, *datasets, *pairs])
    missing = [
        f"  {one.name}: {one.missing}" for one in [*models, *datasets, *pairs] if one.missing
    ]
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
    sizes = (
        {"scenes": SCENES_TEST["n"]} if set(SCENES) & set(profile.datasets) else {}
    )  # all six ask about the same ones
    for name in set(profile.datasets) - set(SCENES):
        sizes[name] = find(name, profile.data_root).images or 0
    passes = len(profile.models) * sum(sizes.values())
    views = {
        EXPERIMENTS[2]: profile.n_views if profile.augmented else 1,
        FILTER: 1,
    }  # of the pairs' pictures
    passes += profile.n_pairs * sum(views.get(chapter, 0) for chapter in profile.chapters)
    if (
        ONLINE in profile.chapters
    ):  # the runs at every epoch; the stored views, and the pictures as they are
        runs = len(profile.kinds) * len(profile.ratios)
        passes += profile.online_pairs * (runs * profile.epochs + profile.n_views + 1)
    gigabytes = passes * WIDTH * (4 if profile.precision == "fp32" else 2) / 1e9
    return f"{passes:,} pictures through a tower, {gigabytes:.2g} GB at {WIDTH} numbers each"


def _to_do(source):
    if source.missing or source.megabytes == 0:
        return ""
    if source.megabytes is None:
        return "; to download, size not known before"
    return f"; to download, {'at least' if source.at_least else 'about'} {source.megabytes:,.0f} MB"


def sources_of(profile):
    """The sources of a profile's models, data sets and pairs, as three lists."""
    root = profile.data_root
    models = [resolve(name) for name in profile.models]
    pairs = [
        pairs_source(profile.pairs, root),
        *(rewrites_source(name, root) for name in profile.rewrites),
    ]
    pairs = pairs if set(PAIRED) & set(profile.chapters) else []
    return models, [find(name, root) for name in profile.datasets], pairs


def check(profile):
    """Raise ValueError for names, files and sizes that cannot work, FileNotFoundError for what has
    to be put in place.
    """
    if FILTER in profile.chapters and profile.pairs not in GENERATED_PAIRS:
        raise ValueError(
            f"{FILTER} needs pairs whose right captions are known: {' or '.join(GENERATED_PAIRS)}, got {profile.pairs!r}"
        )
    if profile.rewrites and profile.pairs in GENERATED_PAIRS:
        raise ValueError(
            f"rewrites go with a CSV of pairs, but the captions of {profile.pairs!r} are generated"
        )
    missing = [
        f"{one.name}: {one.missing}"
        for found in sources_of(profile)
        for one in found
        if one.missing
    ]
    if missing:
        raise FileNotFoundError("; ".join(missing))
    for name in profile.models if profile.kept else []:
        size = resolve(name).d
        if size and max(profile.kept) > size:
            raise ValueError(f"kept goes up to {max(profile.kept)}, but {name} has {size} neurons")
    if LADDER in profile.chapters:
        from featpurity.metrics.rank_correlation import rungs  # late: brings numpy and pandas

        rungs([resolve(name) for name in profile.ladder_models])
    strangers = [name for name in profile.datasets if name not in SCENES]
    if profile.prompts == "scenes" and strangers:
        raise ValueError(
            f"prompts 'scenes' know nothing of {', '.join(strangers)}: take paper, laclip or openai"
        )
    _check_files(profile)


def _check_files(profile):
    """Folders of class folders and files of pairs say what is wrong with them; images are listed,
    not opened.
    """
    for name in profile.datasets:
        found = find(name, profile.data_root)
        if found.several:
            raise ValueError(
                f"{name}: the chapters need one class a picture, but these show several"
            )
        if is_own_list(profile.prompts):
            prompt_set(profile.prompts, name)
        if is_own_list(profile.class_names) and found.listed:
            read_class_names(profile.class_names, found.listed.folders, name)
    csv = profile.pairs not in GENERATED_PAIRS and set(PAIRED) & set(profile.chapters)
    if csv:
        from featpurity.data import pairs  # late: brings torch

        pairs.load_pairs(profile.pairs, profile.data_root, profile.n_pairs, profile.rewrites)
