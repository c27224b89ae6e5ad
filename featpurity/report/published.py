"""What the paper's authors published, as tidy tables; nothing in them was measured here.

The numbers are in `assets/published.yaml`, with where each comes from. Those of figures were read
from their pixels and have a reading error."""

from importlib.resources import files

import pandas as pd
import yaml

EXPERIMENTS = (1, 2, 3)  # the paper's; what claims of other chapters are about goes beyond them
SIMULATED = 9  # the chapter whose numbers come from a simulation
NOT_ASKED = "not asked"  # what a claim says was published where the paper does not ask
GROUPS = (  # of claims, by who asks
    "of the paper's three experiments",
    "of its theory and remedy",
    "of questions beyond the paper",
)
RATIOS = (0.0, 0.8)  # the paper's range of misalignment, over which claims are compared
# Its figures of pruning go from 200 to 500 of 512 neurons; it reads them at 450.
WINDOW, READ_AT = (200 / 512, 500 / 512), 450 / 512


def groups_of(claims: pd.DataFrame) -> pd.Series:
    """Which of `GROUPS` each claim belongs to, from its columns experiment and published."""
    theirs = claims.published.ne(NOT_ASKED).map({True: GROUPS[1], False: GROUPS[2]})
    return theirs.where(~claims.experiment.isin(EXPERIMENTS), GROUPS[0])


def load_published() -> dict:
    """All published numbers, nested as in the file, whose comments say what each is."""
    text = (files("featpurity") / "assets/published.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def published_curves() -> pd.DataFrame:
    """Experiment 2: accuracy and silhouette with some of 512 neurons kept.

    Returns
    -------
    DataFrame
        One row a data set, measure ("accuracy", a share of images, or "silhouette"), strategy
        ("high_purity", "random", "low_purity") and number of neurons: columns dataset, measure,
        strategy, kept, share_kept (of the neurons), value, error (of the reading, in the value's
        unit), constant (whether the line has one value at all numbers of neurons) and
        shown_in_readme.
    """
    published = load_published()["experiment_2"]
    kept = pd.Series(published["kept"])
    return pd.concat(
        [
            pd.DataFrame(
                dict(
                    dataset=dataset,
                    measure=measure,
                    strategy=strategy,
                    kept=kept,
                    share_kept=kept / published["neurons"],
                    **curve,
                    constant=strategy == "random" and dataset in published["constant_random"],
                    shown_in_readme=dataset in published["shown_in_readme"],
                )
            )
            for measure in ("accuracy", "silhouette")
            for dataset, curves in published[measure].items()
            for strategy, curve in curves.items()
        ],
        ignore_index=True,
    )


def published_orders() -> pd.DataFrame:
    """How often one strategy's point lies above another's in the published curves.

    Two points are within the reading error when they differ by no more than the sum of theirs. Data
    sets whose line "random" is a constant do not count where something is compared with random.

    Returns
    -------
    DataFrame
        Columns measure, data_sets ("all" or "shown in the README"), compared, above, within,
        below and points.
    """
    curves = published_curves()
    pairs = [("high_purity", "low_purity"), ("high_purity", "random"), ("low_purity", "random")]
    groups = {"all": curves, "shown in the README": curves[curves.shown_in_readme]}
    rows = []
    for measure in ("accuracy", "silhouette"):
        for name, chosen in groups.items():
            for first, second in pairs:
                of_both = chosen[(chosen.measure == measure) & ~chosen.constant]
                wide = of_both.pivot(
                    index=["dataset", "kept"], columns="strategy", values=["value", "error"]
                ).dropna(subset=[("value", first), ("value", second)])
                difference = wide["value"][first] - wide["value"][second]
                error = wide["error"][first] + wide["error"][second]
                above, below = (difference > error).sum(), (difference < -error).sum()
                rows.append(
                    dict(
                        measure=measure,
                        data_sets=name,
                        compared=f"{first} against {second}".replace("_", " "),
                        above=above,
                        within=len(wide) - above - below,
                        below=below,
                        points=len(wide),
                    )
                )
    return pd.DataFrame(rows)


def published_theory() -> pd.DataFrame:
    """Figure 1 of the paper, its simulation.

    Returns
    -------
    DataFrame
        One row a measure ("accuracy", "silhouette", "features", "magnitude"), texts ("raw" or
        "filtered") and probability of a spurious feature: columns measure, texts, probability,
        value and error.
    """
    published = load_published()["theory"]
    probabilities = published.pop("probability")
    return pd.concat(
        [
            pd.DataFrame(
                dict(measure=measure, texts=texts, probability=probabilities, **curves[texts])
            )
            for measure, curves in published.items()
            for texts in ("raw", "filtered")
        ],
        ignore_index=True,
    )
