"""Compare models on your own pictures: experiments 1 and 2 in one call."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from featpurity.data.catalog import CATALOG
from featpurity.experiments import clip_vs_laclip, inputs, pruning
from featpurity.features.extract import picture_remarks
from featpurity.files import did_you_mean, meant, save_table
from featpurity.metrics import zeroshot
from featpurity.profile import check_draws
from featpurity.report import display_names, heatmaps, results
from featpurity.report.chapters import clip_vs_laclip as compared
from featpurity.report.chapters import pruning as pruned


@dataclass(frozen=True)
class Compared:
    """The tables of a comparison, and its figures.

    Attributes
    ----------
    accuracy : DataFrame
        A row for each model and data set: accuracy and silhouette with their 95 % intervals. The
        silhouette is NaN where it is not defined (one class, or one picture per class).
    neurons : DataFrame
        A row for each model and tower: average and maximum |cos|, the error, and chance.
    pruning : DataFrame
        Accuracy for every number of kept neurons: columns model, dataset, strategy (high_purity,
        low_purity, random, full), kept, accuracy, and for random accuracy_low and accuracy_high.
    effects : DataFrame
        The differences of each model from the first, and of high from low purity, with intervals.
        Positive is what the statement says, with the later model as the one with better captions:
        more accuracy, but less |cos|, each minus the model's chance level.
    notes : list of str
        Caveats: pictures that are left out or lie on a side, an accuracy at chance, an undefined
        silhouette.
    """

    accuracy: pd.DataFrame
    neurons: pd.DataFrame
    pruning: pd.DataFrame
    effects: pd.DataFrame
    notes: list[str]
    towers: dict[str, dict[str, heatmaps.Tower]]

    def figures(self) -> dict:
        """The chapters' plotly figures, by what they show."""
        found = {
            "matrices": compared.matrices(self.towers),
            "accuracy": compared.bars(self.accuracy),
            "pruning": pruned.multiples(self.pruning),
            "pruning at each number": pruned.at_each_number(self.pruning, self.towers),
        }
        if len(self.towers) > 1:
            found["differences"] = compared.gains(self.effects)
        return found

    @property
    def answer(self) -> str:
        """The result over all data sets in one sentence, as in chapter 1."""
        return compared.answer(self.effects, self.accuracy)

    def save(self, folder: str | Path) -> None:
        """Write the tables into a folder, each as a CSV file with its name."""
        for name in ("accuracy", "neurons", "pruning", "effects"):
            save_table(getattr(self, name), Path(folder).expanduser() / f"{name}.csv")

    def __repr__(self):
        models, sets = list(self.towers), list(self.accuracy.dataset.unique())
        return f"<Comparison of {', '.join(models)} on {', '.join(sets)}>"


def compare(
    models: dict[str, str | Path] | list[str | Path],
    datasets: dict[str, str | Path] | list[str | Path],
    prompts: str | list[str] = "paper",
    *,
    n_random_orders: int = 32,
    n_bootstrap: int = 0,
    **options: Any,
) -> Compared:
    """Compare models: accuracy, silhouette, purity, and accuracy when only some neurons are kept.

    Parameters
    ----------
    models : dict of str to str or Path, or list of str or Path
        What `featpurity.load_model` takes; a dict's keys are the names in the tables. Each is
        compared with the first.
    datasets : dict of str to str or Path, or list of str or Path
        What `featpurity.load_dataset` takes, say "folder:photos", likewise with keys. A Path is a
        folder of class folders.
    prompts : str or list of str
        A prompt set, see `featpurity.data.prompts`.
    n_random_orders, n_bootstrap : int
        Random choices of neurons, and draws of the images for the intervals; without draws these
        follow from the images' influences, in closed form.
    **options
        ``store, labels, data_root, class_names, unreadable, preprocess, precision, device`` of
        `featpurity.experiments.inputs.load`.

    Returns
    -------
    Compared

    Raises
    ------
    ValueError, FileNotFoundError
        Before any model runs on pictures: for unknown names, missing files, unreadable pictures, or
        data sets whose pictures show several classes.

    Examples
    --------
    >>> models = {"base": "ViT-B-32:base.pt", "tuned": "ViT-B-32:tuned.pt"}
    >>> runs = compare(models, ["folder:photos"], prompts="paper")
    >>> runs.neurons[["model", "tower", "avg_abs_cos"]]
    """
    models, datasets = inputs.names("models", models), inputs.names("datasets", datasets)
    if not models or not datasets:
        raise ValueError("expected at least one model and one data set, got none")
    labelled = isinstance(datasets, dict)
    for name in datasets.values() if labelled else datasets:
        known = CATALOG.get(meant(name))
        if known and known.several:
            raise zeroshot.several_classes(name)
    listed = [name for given in (models, datasets) if isinstance(given, list) for name in given]
    for name in options.get("labels") or []:  # a dict's keys are labels already
        if name not in listed:
            raise ValueError(f"labels: {name!r} is not listed, {did_you_mean(name, listed)}")
    check_draws(n_random_orders=n_random_orders, n_bootstrap=n_bootstrap)
    loaded = inputs.load(models, datasets, prompts, trunks=False, **options)
    first, *others = loaded.models
    found = clip_vs_laclip.compare(loaded, [(first, other) for other in others], n_bootstrap)
    curves = pruning.prune(loaded, n_random_orders, n_bootstrap=n_bootstrap, silhouettes=False)
    chosen = {label: label for label in datasets} if labelled else options.get("labels")
    called = display_names.of_datasets(datasets, chosen)
    shown, kept = found.renamed(None, called), curves.renamed(None, called)
    notes = picture_remarks(loaded.data.values(), options.get("store"))
    notes += compared.warnings(shown.accuracy, n_bootstrap)
    towers = {model: heatmaps.towers_of(clip) for model, clip in loaded.models.items()}
    effects = pd.concat([shown.effects, kept.effects], ignore_index=True)
    statements = {claim["id"]: claim["statement"] for claim in results.load_claims()}
    effects.insert(1, "statement", effects.claim.map(statements))
    return Compared(shown.accuracy, shown.neurons, kept.accuracy, effects, notes, towers)
