"""What `import featpurity` offers, for editors and type checkers; at run time all is lazy."""

from . import captions as captions
from . import check as check
from . import cli as cli
from . import costs as costs
from . import data as data
from . import experiments as experiments
from . import features as features
from . import files as files
from . import labels as labels
from . import metrics as metrics
from . import models as models
from . import plan as plan
from . import profile as profile
from . import report as report
from . import training as training
from .captions.swap import swap_captions as swap_captions
from .data.datasets import load_dataset as load_dataset
from .data.pairs import load_pairs as load_pairs
from .data.prompts import prompt_set as prompt_set
from .experiments.compare import compare as compare
from .features.extract import class_embeddings as class_embeddings
from .features.extract import embed_images as embed_images
from .features.extract import embed_texts as embed_texts
from .features.extract import image_trunk_features as image_trunk_features
from .features.extract import text_trunk_features as text_trunk_features
from .metrics.intervals import bootstrap_means as bootstrap_means
from .metrics.intervals import interval as interval
from .metrics.pruning import prune as prune
from .metrics.pruning import pruning_curve as pruning_curve
from .metrics.pruning import random_orders as random_orders
from .metrics.purity import avg_abs_cos as avg_abs_cos
from .metrics.purity import chance_level as chance_level
from .metrics.purity import cosine_matrix as cosine_matrix
from .metrics.purity import low_purity_order as low_purity_order
from .metrics.purity import neurons_of as neurons_of
from .metrics.purity import purity_order as purity_order
from .metrics.purity import purity_scores as purity_scores
from .metrics.silhouette import bootstrap_silhouettes as bootstrap_silhouettes
from .metrics.silhouette import silhouette as silhouette
from .metrics.silhouette import silhouette_curve as silhouette_curve
from .metrics.silhouette import silhouette_influence as silhouette_influence
from .metrics.zeroshot import accuracy as accuracy
from .metrics.zeroshot import right_predictions as right_predictions
from .models.load import load_model as load_model
from .models.projections import save_projections as save_projections
from .report import figures as figures
from .report import figures as plots  # noqa: F401
from .report import panels as explore  # noqa: F401
from .training.cached import finetune_projections as finetune_projections

__version__: str
