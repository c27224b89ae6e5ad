"""The command line: `featpurity plan PROFILE`, `featpurity check PROFILE`, `featpurity swap IN.txt --ratio 0.3`."""

import argparse
import sys

import yaml

from . import profiles, sources


def main(arguments=None):
    """Run one command; a ValueError or OSError becomes one line on stderr and exit status 2."""
    parser = argparse.ArgumentParser(prog="featpurity", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in {
        "check": "say whether a profile can run",
        "plan": "list what a profile would download and compute, and what is missing",
    }.items():
        command = commands.add_parser(name, help=help_text)
        command.add_argument("profile", nargs="?", default="demo", help="a name in profiles/ or a .yaml file")
        command.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings that win over the file's")
    swap = commands.add_parser("swap", help="write a text file of captions with a share of them swapped")
    swap.add_argument("captions", help="text file, one caption a line")
    swap.add_argument("--ratio", type=float, nargs="+", required=True, help="shares in [0, 1]")
    swap.add_argument("--kind", choices=["similarity", "random"], default="similarity")
    swap.add_argument("--seed", type=int, default=42)
    swap.add_argument("--top-k", type=int, default=10, help="similar captions to choose from")
    chosen = parser.parse_args(arguments)
    try:
        _swap(chosen) if chosen.command == "swap" else _profile(chosen)
    except (ValueError, OSError) as error:
        print(f"featpurity: {error}", file=sys.stderr)
        return 2
    return 0


def _profile(chosen):
    settings = dict(setting.split("=", 1) for setting in chosen.settings if "=" in setting)
    profile = profiles.load(chosen.profile, {key: yaml.safe_load(value) for key, value in settings.items()})
    sources.check(profile)
    if chosen.command == "plan":
        print("\n".join(sources.plan(profile)))
    else:
        print(f"profile {profile.name} can run")


def _swap(chosen):
    from . import captions  # late: brings scikit-learn

    for ratio in chosen.ratio:
        print(captions.swap_file(chosen.captions, ratio, chosen.kind, chosen.seed, chosen.top_k))


if __name__ == "__main__":
    sys.exit(main())
