"""The command `featpurity pretrain`: train the bundled models again, or pairs of other seeds."""

import argparse
from dataclasses import replace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `featpurity pretrain`."""
    add = parser.add_argument
    add("profiles", nargs="*", metavar="PROFILE", help="scenes, photos (default: both)")
    add("--seeds", type=int, nargs="+", help="a pair for each, its folders named by it")
    add("--out", help="where the models' folders go (default: the bundled models' place)")
    add("--data-root", help="folder of CIFAR-10 (default: data)")
    add("--epochs", type=int, help="instead of the recipe's")
    add(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="auto: a GPU, if there is one",
    )


def run(options: argparse.Namespace) -> str:
    """Train as the options say; return the models' folders, one per line.

    Raises
    ------
    ValueError
        For an unknown profile, negative or repeated seeds, seeds without a folder to write to, or a
        device that this machine lacks.
    """
    from featpurity.models.device import pick_device  # late: --help answers at once
    from featpurity.training.bundled import BUNDLED, RECIPES, make_pairs

    profiles, seeds = options.profiles or list(RECIPES), options.seeds or []
    if unknown := set(profiles) - set(RECIPES):
        raise ValueError(
            f"unknown profile {', '.join(sorted(unknown))}; expected some of {', '.join(RECIPES)}"
        )
    if len(set(seeds)) < len(seeds) or min(seeds, default=0) < 0:
        raise ValueError(f"--seeds: expected different numbers of 0 or more, got {seeds}")
    if seeds and not options.out:
        raise ValueError("--seeds: expected --out FOLDER as well, for models that are not bundled")
    device = pick_device(options.device)
    folders = []
    for profile in profiles:
        recipe = replace(RECIPES[profile], epochs=options.epochs or RECIPES[profile].epochs)
        folders += make_pairs(
            profile, seeds, options.data_root, options.out or BUNDLED, recipe, device=device
        )
    return "\n".join(map(str, folders))
