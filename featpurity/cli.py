"""The command line: `featpurity COMMAND`, and `featpurity COMMAND --help` for each."""

import argparse
import os
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

from featpurity import __version__, profile
from featpurity.files import located, save_table

ROOT_FILE = "_toc.yml"  # what a checkout has and an installed package has not


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    An error of the input becomes one line on stderr and status 2.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        said = options.run(options)
    except (ValueError, OSError, FloatingPointError) as error:  # the last of a training
        print(f"featpurity: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("featpurity: stopped; run it again to go on", file=sys.stderr)
        return 130
    if os.environ.get("RANK", "0") == "0":  # one process speaks for all that torchrun started
        try:
            print(said, flush=True)
        except BrokenPipeError:  # whoever reads has read enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of one command, with the function `run` that takes them."""
    parser = argparse.ArgumentParser(
        prog="featpurity", description="Measure the feature purity of CLIP-style models."
    )
    parser.add_argument("--version", action="version", version=f"featpurity {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = next((word for word in arguments if word in COMMANDS), None)
    for name, (about, home) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        if name == wanted:  # the others stay unread: --help answers at once
            add_arguments, run = home if isinstance(home, tuple) else _commands_of(home)
            add_arguments(command)
            command.set_defaults(run=run)
    return parser.parse_args(arguments)


def _commands_of(module):
    module = import_module(f"featpurity.{module}")
    return module.add_arguments, module.run


def _profile_arguments(parser):
    add = parser.add_argument
    add("profile", nargs="?", default="demo", help="a name in profiles/ or a .yaml file")
    add("settings", nargs="*", metavar="KEY=VALUE", help="settings that override the file's")
    add("--data-root", help="folder of data sets, as data_root=FOLDER")


def _embed_arguments(parser):
    _profile_arguments(parser)
    parser.add_argument("--models", nargs="+", help="some of the profile's models (default: all)")


def _merge_arguments(parser):
    add = parser.add_argument
    add("profiles", nargs="+", metavar="PROFILE", help="names in profiles/ or .yaml files")
    add("--table", default="claims", help="a table of the runs (default: claims)")
    add("--out", required=True, help="the CSV to write")


def _swap_arguments(parser):
    add = parser.add_argument
    add("captions", help="text file, one caption per line, or a CSV with a column caption")
    add("--ratio", type=float, nargs="+", required=True, help="shares in [0, 1]")
    add("--kind", choices=profile.CHOICES["kinds"], default="similarity")
    add("--seed", type=int, help="seed of the random draws (default: that of the experiments)")
    add("--top-k", type=int, default=10, help="most similar captions to choose from (default 10)")
    add("--out-dir", "--out", help="folder to write to (default: beside the captions)")


def _load(options):
    """The profile that the options name; from here on paths are relative to the project's root."""
    name, settings = options.profile, options.settings
    if "=" in name and not located(name).is_file():  # only settings were given
        name, settings = "demo", [name, *settings]
    settings = dict(map(profile.setting, settings))
    if root := options.data_root or settings.get("data_root"):
        settings["data_root"] = str(located(root).absolute())  # from where the user stands
    [name] = _into_checkout([name])
    return profile.load(name, settings)


def _into_checkout(names):
    """Go to the root of the checkout, this folder's or else a file's; the profiles, files as paths.

    Raises
    ------
    FileNotFoundError
        Where there is none and a profile is named that is no file.
    """
    files = {
        name: located(name).resolve() for name in names if Path(name).suffix in profile.SUFFIXES
    }
    starts = [Path.cwd(), *(file.parent for file in files.values())]
    folders = [folder for start in starts for folder in (start, *start.parents)]
    root = next((folder for folder in folders if (folder / ROOT_FILE).is_file()), None)
    if root is None and files.keys() < set(names):
        raise FileNotFoundError(
            f"{Path.cwd()} lies in no checkout of featpurity, whose profiles, notebooks and "
            "workflow this command needs: go into one, or name a .yaml file"
        )
    os.chdir(root or ".")
    return [files.get(name, name) for name in names]


def _check(options):
    from featpurity.check import check  # late: brings the catalogue of data sets

    chosen = _load(options)
    remarks = check(chosen)
    return f"profile {chosen.name} can run" + "".join(f"; {remark}" for remark in remarks)


def _plan(options):
    from featpurity.plan import plan  # late: brings the catalogue of data sets

    return "\n".join(plan(_load(options)))


def _page(options):
    chosen = _load(options)
    page = Path(chosen.results_dir, "book", "_build", "html", "index.html").resolve()
    if not page.is_file():
        raise FileNotFoundError(
            f"{page} has not been built: in a checkout of the project, make book "
            f"PROFILE={os.path.abspath(chosen.file)} builds it"
        )
    return f"The book's first page: {page}"


def _embed(options):
    from featpurity.check import check  # late: brings the catalogue of data sets
    from featpurity.features.precompute import open_all  # late: brings torch

    chosen = _load(options)
    check(chosen)
    store = Path(chosen.store_dir).resolve()
    if store.is_dir() and not os.access(store, os.W_OK):
        raise ValueError(f"store_dir: {store} may not be written, which is what embed is for")
    models = options.models or chosen.models
    if strangers := sorted(set(models) - set(chosen.models)):
        raise ValueError(
            f"profile {chosen.name} names no {', '.join(strangers)}; its models: "
            f"{', '.join(chosen.models)}"
        )
    known = signature(open_all).parameters.keys() - {"models", "datasets", "pairs", "n_pairs"}
    settings = {key: value for key, value in chosen.parameters().items() if key in known}
    jobs = [[model for model in job if model in models] for job in chosen.jobs]
    for together in filter(None, jobs):
        probed = chosen.trains_probes and set(together) <= set(chosen.retrieving)
        settings["probe_on"] = "train" if probed else "test"
        open_all(together, chosen.datasets, **settings).embed_datasets()
        for asked, n_pairs, crops in chosen.pair_passes:
            if wanted := [model for model in together if model in asked]:
                pairs = open_all(wanted, [], chosen.pairs, n_pairs=n_pairs, **settings)
                pairs.embed_pairs(crops)
    return f"stored in {store}"


def _merge(options):
    from featpurity.report.merge import merged  # late: brings pandas

    out = Path(options.out).expanduser().absolute()  # from where the user stands
    profiles = [profile.load(name) for name in _into_checkout(options.profiles)]
    table = save_table(merged(profiles, options.table), out)
    return f"{options.out}: {len(table)} rows of {len(profiles)} profiles"


def _swap(options):
    from featpurity.captions.swap import SEED, write_swaps  # late: brings pandas

    seed = SEED if options.seed is None else options.seed
    kinds, seeds = [options.kind], [seed]
    done = write_swaps(
        options.captions, options.ratio, kinds, seeds, options.out_dir, options.top_k
    )
    return "\n".join(
        f"ratio {swaps['ratio']:g}: {swaps['achieved_ratio']:.1%} of {swaps['n']:,} captions "
        f"swapped, {swaps['changed_texts']:.1%} of the texts changed"
        for swaps in done
    )


COMMANDS = {  # what it does; how its options are read and it is run, or the module that says so
    "check": ("say whether a profile can run", (_profile_arguments, _check)),
    "plan": (
        "list what a profile would download and compute, and what is missing",
        (_profile_arguments, _plan),
    ),
    "page": ("print where the first page of a profile's book is", (_profile_arguments, _page)),
    "embed": (
        "fill the store of a profile (on 4 GPUs: torchrun --nproc_per_node=4 -m featpurity embed)",
        (_embed_arguments, _embed),
    ),
    "merge": ("write one table from several profiles that have run", (_merge_arguments, _merge)),
    "swap": (
        "write captions with a share of them swapped, and the list of swapped pairs",
        (_swap_arguments, _swap),
    ),
    "finetune": (
        "train the two projections with the towers running, as the paper does",
        "training.finetune",
    ),
    "pretrain": ("train the bundled small models again, from scratch", "training.pretrain"),
}
