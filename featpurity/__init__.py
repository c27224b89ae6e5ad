"""Measure how pure the features of CLIP-style models are, and what purity does to accuracy.

The public names and the modules below are imported when first used, so that `import featpurity`
costs nothing; `__init__.pyi` lists them for editors.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from pkgutil import iter_modules

__version__ = "0.1.0"

_HOME = {
    "models.load": ["load_model"],
    "models.projections": ["save_projections"],
    "data.datasets": ["load_dataset"],
    "data.pairs": ["load_pairs"],
    "data.prompts": ["prompt_set"],
    "features.extract": [
        "embed_images",
        "embed_texts",
        "class_embeddings",
        "image_trunk_features",
        "text_trunk_features",
    ],
    "metrics.purity": [
        "cosine_matrix",
        "avg_abs_cos",
        "chance_level",
        "neurons_of",
        "purity_scores",
        "purity_order",
        "low_purity_order",
    ],
    "metrics.zeroshot": ["accuracy", "right_predictions"],
    "metrics.pruning": ["prune", "pruning_curve", "random_orders"],
    "metrics.silhouette": [
        "silhouette",
        "silhouette_curve",
        "silhouette_influence",
        "bootstrap_silhouettes",
    ],
    "metrics.intervals": ["bootstrap_means", "interval"],
    "captions.swap": ["swap_captions"],
    "training.cached": ["finetune_projections"],
    "experiments.compare": ["compare"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)

# Modules under a shorter name.
_SHORT = {"figures": "report.figures", "plots": "report.figures", "explore": "report.panels"}


def lazy_modules(package: str, path: Iterable[str]) -> tuple[Callable, Callable]:
    """A package's `__getattr__` and `__dir__` that import its modules when they are first named."""
    modules = [found.name for found in iter_modules(path) if not found.name.startswith("_")]

    def attribute(name):
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return attribute, lambda: modules


_module, _modules = lazy_modules(__name__, __path__)


def __getattr__(name):
    if name in _SHORT:
        return import_module(f"{__name__}.{_SHORT[name]}")
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return _module(name)


def __dir__():
    return sorted({*globals(), *__all__, *_SHORT, *_modules()})
