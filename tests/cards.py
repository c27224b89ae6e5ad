"""What the bundled models' cards say, to compare with what is measured."""

import re

from featpurity.training.bundled import BUNDLED

WITHIN = 2e-3  # cards have three digits, and other processors round otherwise


def accuracy_on_card(name):
    """Data set -> zero-shot accuracy, as a bundled model's card has it."""
    card = (BUNDLED / name / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| ([01]\.\d+) \|$", card, re.MULTILINE)
    return {dataset: float(accuracy) for dataset, accuracy in rows}
