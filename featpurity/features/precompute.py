"""Fill the store of a profile, on several cards: `torchrun --nproc_per_node=4 -m featpurity.features.precompute PROFILE [MODEL ...]`.

Each process takes its share of the shards of every data set, on its own card. The notebooks find
all of it in the store afterwards and compute nothing again. Without torchrun, `python -m
featpurity.features.precompute` does all in one process.
"""

import argparse
import os
import sys

from filelock import FileLock

from featpurity import plan, profile
from featpurity.data.datasets import load_dataset
from featpurity.data.pairs import load_pairs
from featpurity.features.crops import image_views
from featpurity.features.extract import (
    image_trunk_features_of,
    refuse_unreadable,
    text_trunk_features,
)
from featpurity.files import workspace
from featpurity.models.load import load_model


def embed(profile, models=None):
    """Run the towers of a profile's models over its data sets and pairs, as the notebook `steps/embed` does.

    Parameters
    ----------
    profile : Profile
    models : list of str, optional
        Some of the profile's models; all of them unless said.

    Raises
    ------
    ValueError, FileNotFoundError
        For a model that the profile does not name, and as `featpurity.plan.check` and the
        embeddings do.
    TimeoutError
        When another process stops writing its shards.
    """
    plan.check(profile)
    strangers = sorted(set(models or []) - set(profile.models))
    if strangers:
        raise ValueError(
            f"profile {profile.name} names no {', '.join(strangers)}; its models: "
            f"{', '.join(profile.models)}"
        )
    models, size = models or profile.models, profile.models_per_job
    for first in range(0, len(models), size):
        _embed_together(profile, models[first : first + size])


def _embed_together(profile, models):
    """One job's work: every data set decoded once for all the models, and the pairs for the model
    to fine-tune.
    """
    device = (
        "auto" if profile.device.startswith("cuda") else profile.device
    )  # a process takes its own card
    store = workspace(profile.store_dir)
    store.mkdir(parents=True, exist_ok=True)
    alone = FileLock(
        store / ".loading.lock"
    )  # one process downloads what is missing, the others find it there
    with alone:
        clips = [load_model(name, device, profile.preprocess) for name in models]
    settings = {
        "store": store,
        "precision": profile.precision,
        "batch_size": profile.embed_batch_size,
        "progress": os.environ.get("RANK", "0") == "0",
    }
    image_settings = settings | {"workers": profile.workers, "compiled": profile.compiled}
    tuned = profile.finetune_model if profile.EXPERIMENTS[2] in profile.chapters else None
    with alone:
        data = [
            load_dataset(name, profile.data_root, profile.class_names, profile.unreadable)
            for name in profile.datasets
        ]
        if tuned in models:
            pairs = load_pairs(
                profile.pairs,
                profile.data_root,
                profile.n_pairs,
                profile.rewrites,
                profile.unreadable,
            )
        for one in [*data, *([pairs] if tuned in models else [])]:
            refuse_unreadable(one, store)  # all of them before any model runs
    for one in data:
        image_trunk_features_of(clips, one, **image_settings)
    if tuned in models:
        clip = clips[models.index(tuned)]
        if profile.augmented:
            image_views(clip, pairs, profile.n_views, **image_settings)
        else:
            image_trunk_features_of([clip], pairs, **image_settings)
        text_trunk_features(clip, pairs.best_captions, **settings)


def main(arguments=None):
    """Run the command; an error of the input becomes one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="featpurity.features.precompute", description="Fill the store of a profile."
    )
    parser.add_argument("profile", help="a name in profiles/ or a .yaml file")
    parser.add_argument("models", nargs="*", help="some of its models (default: all)")
    parser.add_argument(
        "--data-root", help="the folder of data sets, where the profile does not say it"
    )
    chosen = parser.parse_args(arguments)
    try:
        embed(
            profile.load(
                chosen.profile, {"data_root": chosen.data_root} if chosen.data_root else {}
            ),
            chosen.models,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"featpurity.features.precompute: {error}")


if __name__ == "__main__":
    main()
