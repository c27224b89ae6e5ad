"""Measure how pure the features of CLIP-style models are, and what purity does to zero-shot accuracy.

The public names below are imported when first used, so that `import featpurity` costs nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "models.load": ["load_model"],
    "data.datasets": ["load_dataset"],
    "data.pairs": ["load_pairs"],
    "features.extract": ["embed_images", "class_embeddings"],
    "metrics.silhouette": ["silhouette", "silhouette_curve"],
    "metrics.purity": ["cosine_matrix", "avg_abs_cos", "purity_scores", "purity_order"],
    "metrics.pruning": ["pruning_curve"],
    "captions.swap": ["swap_captions"],
    "training.cached": ["finetune_projections"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'featpurity' has no attribute {name!r}")
    return getattr(import_module(f"featpurity.{_MODULE_OF[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
