"""The command line: `featpurity plan PROFILE`, `featpurity check PROFILE`, `featpurity swap IN.txt
--ratio 0.3`.
"""

import argparse
import sys
from pathlib import Path

import yaml

from featpurity import profile


def main(arguments=None):
    """Run one command and return its exit status; an error of the input becomes one line on stderr
    and status 2.
    """
    parser = argparse.ArgumentParser(
        prog="featpurity", description="Measure the feature purity of CLIP-style models."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, (act, about) in PROFILE_COMMANDS.items():
        one = commands.add_parser(command, help=about, description=about)
        one.add_argument(
            "profile", nargs="?", default="demo", help="a name in profiles/ or a .yaml file"
        )
        one.add_argument(
            "settings", nargs="*", metavar="KEY=VALUE", help="settings that win over the file's"
        )
        one.set_defaults(act=act)
    about = "write captions again with a share of them swapped, and the list of swapped pairs"
    swap = commands.add_parser("swap", help=about, description=about)
    swap.add_argument(
        "captions", help="text file with one caption a line, or a CSV with a column caption"
    )
    swap.add_argument("--ratio", type=float, nargs="+", required=True, help="shares in [0, 1]")
    swap.add_argument("--kind", choices=["similarity", "random"], default="similarity")
    swap.add_argument("--seed", type=int, default=42)
    swap.add_argument(
        "--top-k", type=int, default=10, help="most similar captions to choose from (default 10)"
    )
    swap.add_argument("--out-dir", help="folder to write to (default: beside the captions)")
    swap.set_defaults(act=_swap)
    chosen = parser.parse_args(arguments)
    try:
        print(chosen.act(chosen))
    except (ValueError, OSError) as error:
        print(f"featpurity: {error}", file=sys.stderr)
        return 2
    return 0


def _profile(chosen):
    settings = {}
    for setting in chosen.settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"settings are KEY=VALUE, got {setting!r}")
        settings[key] = yaml.safe_load(value)
    return profile.load(chosen.profile, settings)


def _check(chosen):
    from featpurity.plan import check  # late: brings the catalogue of data sets

    chosen = _profile(chosen)
    check(chosen)
    return f"profile {chosen.name} can run"


def _plan(chosen):
    from featpurity.plan import plan  # late: brings the catalogue of data sets

    return "\n".join(plan(_profile(chosen)))


def _page(chosen):
    page = Path(_profile(chosen).results_dir, "book", "_build", "html", "index.html").resolve()
    if not page.is_file():
        raise FileNotFoundError(f"{page} has not been built")
    return f"The book's first page: {page}"


def _swap(chosen):
    from featpurity.captions.swap import run  # late: brings pandas

    return run(chosen)


PROFILE_COMMANDS = {
    "check": (_check, "say whether a profile can run"),
    "plan": (_plan, "list what a profile would download and compute, and what is missing"),
    "page": (_page, "print the first page of a profile's book"),
}
if __name__ == "__main__":
    sys.exit(main())
