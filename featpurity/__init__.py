"""Measure how pure the features of CLIP-style models are, and what purity does to zero-shot accuracy.

The public names below are imported when first used, so that `import featpurity` costs nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "models": ["load_model"],
    "datasets": ["load_dataset", "load_pairs"],
    "embeddings": ["embed_images"],
    "zeroshot": ["class_embeddings", "silhouette", "silhouette_curve"],
    "purity": ["cosine_matrix", "avg_abs_cos", "purity_scores", "purity_order"],
    "pruning": ["pruning_curve"],
    "captions": ["swap_captions"],
    "finetune": ["finetune_projections"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'featpurity' has no attribute {name!r}")
    return getattr(import_module(f"featpurity.{_MODULE_OF[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
