"""Profiles: the settings of one run of the suite, as a flat, typed record.

A profile file holds only what differs from the defaults below; the `demo` profile takes them all,
with more chapters. All errors that settings alone can show are raised here, before a model is read
or a picture opened.
"""

import contextlib
import math
import re
import types
from collections.abc import Mapping
from dataclasses import InitVar, asdict, dataclass, field, fields
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import yaml

from featpurity.files import LIST_SUFFIXES, did_you_mean, read_text

SCENES = ["shape", "colour", "background", "texture", "size", "position"]
COMPARISON = "01_clip_vs_laclip"
PRUNING = "02_neuron_pruning"
MISALIGNMENT = "03_misalignment"
LADDER = "04_data_quality_ladder"
FILTER = "05_caption_filter"
ONLINE = "06_online_and_cached"
CLAIMS = "07_claims"
MEANING = "08_what_cos_measures"
THEORY = "09_theory"
RETRIEVAL = "10_retrieval_and_probe"
NEURONS = "11_neurons"


@dataclass(frozen=True)
class Chapter:
    """What a chapter of the book reads, does and needs."""

    models: tuple[str, ...] = ()  # settings that name the models whose embeddings it reads
    several: tuple[str, ...] = ()  # settings that need two values or more, for intervals and slopes
    finetuned: bool = False  # reads projections that the fine-tuning step trained on pairs
    trains: bool = False  # trains on image-caption pairs itself
    pairs: bool = False  # reads image-caption pairs, and trains on none
    multi_label: bool = False  # takes data sets whose pictures show several classes
    judged: bool = False  # claims are about it
    towers: bool = False  # runs towers itself; the others leave that to earlier steps
    long: bool = False  # takes long compared with the others

    @property
    def paired(self) -> bool:
        """Whether the chapter needs image-caption pairs."""
        return self.finetuned or self.trains or self.pairs


COMPARED, FINETUNE = ("clip_models", "laclip_models"), ("finetune_model",)
RUNS = ("seeds", "ratios")  # settings of fine-tuning
# Every chapter, in the order in which the workflow runs them, other things being equal.
CHAPTERS = {
    COMPARISON: Chapter(COMPARED, judged=True),
    PRUNING: Chapter(COMPARED, judged=True, long=True),
    MISALIGNMENT: Chapter(FINETUNE, RUNS, finetuned=True, judged=True),
    NEURONS: Chapter(COMPARED + FINETUNE, RUNS, finetuned=True, towers=True),
    MEANING: Chapter(COMPARED + FINETUNE, RUNS, finetuned=True, judged=True, towers=True),
    LADDER: Chapter(("ladder_models",)),
    FILTER: Chapter(
        ("filter_model",), ("seeds",), trains=True, judged=True, towers=True, long=True
    ),
    ONLINE: Chapter(FINETUNE, RUNS, trains=True, towers=True, long=True),
    THEORY: Chapter(several=("spurious_features", "simulation_seeds"), judged=True, long=True),
    RETRIEVAL: Chapter(COMPARED, pairs=True, multi_label=True, judged=True, towers=True),
    CLAIMS: Chapter(),
}
CHOICES = {
    "chapters": list(CHAPTERS),
    "preprocess": ["native", "paper", "paper-bicubic"],
    "precision": ["fp32", "bf16", "fp16"],
    "class_names": ["words", "raw"],
    "unreadable": ["raise", "skip"],
    "prompts": ["scenes", "paper", "laclip", "openai"],
    "kinds": ["similarity", "random"],
    "probe_on": ["train", "test"],
}
LISTED = ["class_names", "prompts"]  # may also name a file, see featpurity.data.class_names
LOWEST = {
    "n_pairs": 2,
    "epochs": 1,
    "batch_size": 2,
    "n_random_orders": 2,
    "n_rotations": 5,
    "online_pairs": 16,
    "atlas_pairs": 2,
    "n_views": 1,
    "n_bootstrap": 0,
    "workers": 0,
    "caption_shards": 1,
    "embed_batch_size": 1,
    "models_per_job": 1,
}
FEWEST_DRAWS = 100  # of the bootstrap
TURNED_ORDERS = 16  # at most so many of the random orders are also reversed
MAY_BE_EMPTY = ["clip_models", "laclip_models", "ladder_models", "rewrites"]
NAMING = {  # settings that name models, data sets and files of pairs
    *("clip_models", "laclip_models", "ladder_models", "finetune_model", "filter_model", "models"),
    *("datasets", "pairs", "rewrites"),
}
SUFFIXES = {".yaml", ".yml"}  # of profile files
FOLDERS = ["data_root", "results_dir", "store_dir"]
ONLINE_STEPS = 8  # fewest in an epoch of the chapter ONLINE, which takes smaller batches if need be
LIVE = "results/live"  # where notebooks write when run outside a profile


class PairPass(NamedTuple):
    """Models that read the first `n_pairs` pairs, with whole pictures or `crops` crops of each."""

    models: list[str]
    n_pairs: int
    crops: int | None


@dataclass(frozen=True)
class Profile:
    """The settings of one run. `clip_models[i]` is compared with `laclip_models[i]`.

    Raises
    ------
    ValueError, FileNotFoundError
        If a value has the wrong type or range, or `data_root` is not a folder. Whether models and
        data sets exist is the business of `featpurity.check`.
    """

    name: str = "live"
    chapters: list[str] = field(default_factory=lambda: [COMPARISON, PRUNING, MISALIGNMENT, CLAIMS])
    clip_models: list[str] = field(default_factory=lambda: ["scenes_clip"])
    laclip_models: list[str] = field(default_factory=lambda: ["scenes_laclip"])
    datasets: list[str] = field(default_factory=lambda: [f"scenes_{name}" for name in SCENES])
    # Names that the book shows for models and data sets, instead of the ends of their paths.
    labels: dict[str, str] = field(default_factory=dict)
    data_root: str | None = None  # folder of data sets; generated pictures need none
    class_names: str = "words"  # "raw": as data sets spell them, as in the paper's experiment 2
    unreadable: str = "raise"  # "skip": leave unreadable images out and count them
    # What linear probes train on: the training images of data sets that have them, which the towers
    # must then embed too, or "test": half of the test images of all data sets.
    probe_on: str = "train"
    prompts: str = "scenes"  # prompt set, see featpurity.data.prompts
    preprocess: str = "native"  # "paper": as in the paper's scripts
    pairs: str = "scenes"  # image-caption pairs of experiment 3: a name, or a CSV of image,caption
    # Text files of rewritten captions, one line per pair of the CSV.
    rewrites: list[str] = field(default_factory=list)
    n_pairs: int = 8000
    finetune_model: str = "scenes_laclip"
    filter_model: str = "scenes_clip"  # the caption filter's model, trained on raw captions
    # Shares of facts that the filter's captioner mistakes for their spurious partner; training uses
    # the first.
    mistaken: list[float] = field(default_factory=lambda: [0.2, 0.0])
    # Probabilities that a name in a raw caption is spurious. The claims are about the first, which
    # the bundled models' captions have.
    spurious_captions: list[float] = field(default_factory=lambda: [0.2, 0.0, 0.4, 0.6])
    online_pairs: int = 2000  # pairs in the chapter that runs the towers at every step
    atlas_pairs: int = 2000  # pairs whose captions the atlas of neurons reads
    n_views: int = 4  # stored crops per picture, for cached training there and if `augmented`
    augmented: bool = False  # experiment 3 trains on crops, as in the paper
    # Models that differ in the quality of their data.
    ladder_models: list[str] = field(default_factory=list)
    ratios: list[float] = field(default_factory=lambda: [0.0, 0.1, 0.3, 0.5, 0.8])
    kinds: list[str] = field(default_factory=lambda: ["similarity", "random"])
    caption_shards: int = 1  # jobs that find the nearest captions; more for millions of pairs
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    # Probabilities of a spurious feature in the texts of the simulated theory, and its seeds.
    spurious_features: list[float] = field(default_factory=lambda: [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    simulation_seeds: list[int] = field(default_factory=lambda: [1, 2, 3, 4])
    epochs: int = 10
    batch_size: int = 1024  # the paper's 256 on each of 4 GPUs
    learning_rate: float = 1.0e-3
    weight_decay: float = 0.5
    n_random_orders: int = 32
    n_rotations: int = 20  # of the shared space, for the chapter on what average |cos| measures
    kept: list[int] | None = None  # numbers of neurons for the silhouette; None: a grid up to d
    n_bootstrap: int = 0  # draws for intervals over images; 0: in closed form, from influences
    device: str = "auto"
    precision: str = "fp32"
    compiled: bool = False  # torch.compile the image towers: minutes at first, faster afterwards
    embed_batch_size: int = 256  # images per step of the towers
    models_per_job: int = 2  # models that share one decoding of the pictures, and so one GPU
    workers: int = 0
    results_dir: str = LIVE
    store_dir: str = "store"
    file: InitVar[str | None] = None  # where these settings were read from

    def __post_init__(self, file: str | None) -> None:
        object.__setattr__(self, "file", file)
        for key, kind in KINDS.items():
            value = _typed(key, getattr(self, key), kind)
            if key in FOLDERS and value is not None:
                value = str(Path(value).expanduser())
            object.__setattr__(self, key, value)
        _check_values(self)

    @property
    def models(self) -> list[str]:
        """Every model that the profile's chapters read, once."""
        return list(
            dict.fromkeys(model for chapter in self.chapters for model in self.models_of(chapter))
        )

    @property
    def finetunes(self) -> bool:
        """Whether a chapter reads projections fine-tuned on swapped captions."""
        return any(CHAPTERS[name].finetuned for name in self.chapters)

    @property
    def reads_pairs(self) -> bool:
        """Whether a chapter, or a step before it, reads the image-caption pairs."""
        return any(CHAPTERS[name].paired for name in self.chapters)

    @property
    def trains_probes(self) -> bool:
        """Whether a chapter reads the training images of data sets that have some."""
        return RETRIEVAL in self.chapters and self.probe_on == "train"

    @property
    def jobs(self) -> list[list[str]]:
        """The models of each job, up to `models_per_job`, which share one decoding of the pictures.

        Models of the chapter RETRIEVAL, which also embed pairs and training images, share jobs only
        with one another.
        """
        asked = set(self.retrieving)
        return [
            models[i : i + self.models_per_job]
            for models in (
                [model for model in self.models if model in asked],
                [model for model in self.models if model not in asked],
            )
            for i in range(0, len(models), self.models_per_job)
        ]

    @property
    def retrieving(self) -> list[str]:
        """The models of the chapter RETRIEVAL, if it is in the run."""
        return self.models_of(RETRIEVAL) if RETRIEVAL in self.chapters else []

    @property
    def crops(self) -> int | None:
        """Number of stored crops per picture that projections train on; None: whole pictures."""
        return self.n_views if self.augmented else None

    @property
    def pair_passes(self) -> list[PairPass]:
        """Passes over image-caption pairs whose features chapters take from the store.

        The chapter ONLINE, which runs the towers at every step, takes none.
        """
        passes = (
            [PairPass([self.finetune_model], self.n_pairs, self.crops)] if self.finetunes else []
        )
        compared = [*self.clip_models, *self.laclip_models]
        whole = {
            FILTER: PairPass([self.filter_model], self.n_pairs, None),
            RETRIEVAL: PairPass(compared, self.n_pairs, None),
            NEURONS: PairPass(compared, self.atlas_pairs, None),
        }
        passes += [whole[chapter] for chapter in whole if chapter in self.chapters]
        together = {}  # equal passes of several chapters are one
        for models, *how in passes:
            together.setdefault(tuple(how), {}).update(dict.fromkeys(models))
        return [PairPass(list(models), *how) for how, models in together.items()]

    def models_of(self, chapter: str) -> list[str]:
        """The models whose embeddings a chapter reads."""
        named = [getattr(self, key) for key in CHAPTERS[chapter].models]
        lists = [models if isinstance(models, list) else [models] for models in named]
        return [model for models in lists for model in models]

    def parameters(self) -> dict[str, Any]:
        """All settings as plain values, ready for YAML."""
        return asdict(self)


KINDS = {setting.name: setting.type for setting in fields(Profile)}


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a repeated key is an error, as its first value would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        merged = "tag:yaml.org,2002:merge"  # "<<", which includes another mapping
        keys = [self.construct_object(key, True) for key, _ in node.value if key.tag != merged]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                line = node.value[i][0].start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key {key!r} stands there a second time")
        return super().construct_mapping(node, deep)


def load(
    profile: str | Path = "demo",
    overrides: Mapping[str, Any] | None = None,
    folder: str | Path = "profiles",
) -> Profile:
    """Read a profile by name (`profiles/NAME.yaml`) or by path, and check it.

    Parameters
    ----------
    profile : str or Path
        A name in `folder`, or a path that ends in `.yaml`.
    overrides : dict, optional
        Settings that win over the file's, as from `DATA_ROOT=...`. If they are complete, as in a
        run's jobs, the file is not read: it may have been edited since the run began.
    folder : str or Path

    Returns
    -------
    profile : Profile
        `name` is the file's; by default the results go to `results/NAME`.

    Raises
    ------
    FileNotFoundError
        If there is no such profile.
    ValueError
        For a file that is not YAML, an unknown or repeated key, or an invalid value.
    """
    path = Path(profile).expanduser()
    path = path if path.suffix in SUFFIXES else Path(folder) / f"{profile}.yaml"
    overrides = dict(overrides or {})
    settings = {
        "name": path.stem,
        "results_dir": _usual_results(path),
        **({} if KINDS.keys() <= overrides.keys() else _read(path, profile)),
        **overrides,
    }
    for key in settings:
        if key not in KINDS:
            raise ValueError(f"{path}: unknown key {key!r}, {did_you_mean(key, KINDS)}")
    try:
        return Profile(**settings, file=str(path.resolve()))
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{path}: {error}") from None


def results_dirs(folder: Path) -> dict[Path, str]:
    """Where a folder's profiles write their results; files that are not profiles are skipped."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES:
            with contextlib.suppress(ValueError, OSError):
                settings = _read(path, path)
                if settings.keys() <= KINDS.keys():
                    found[path] = str(settings.get("results_dir", _usual_results(path)))
    return found


def _usual_results(path):
    return f"results/{path.stem}"


def setting(text: str) -> tuple[str, Any]:
    """Key and value of a command line's `KEY=VALUE`: text for text settings, else read as YAML.

    Raises
    ------
    ValueError
        Without `=`, or for a value that is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"settings are KEY=VALUE, got {text!r}")
    kind = KINDS.get(key)
    if kind is str or (kind == str | None and value not in {"", "null"}):
        return key, value
    try:
        return key, yaml.load(value, _UniqueKeys)
    except yaml.YAMLError:
        raise ValueError(f"{key}: {value!r} is not valid YAML") from None


def _read(path, profile):
    """The settings in a profile's file."""
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise FileNotFoundError(
            f"no profile {str(profile)!r}: there is no file {path}. "
            f"Known: {', '.join(known) or 'none'}"
        )
    try:
        settings = yaml.load(read_text(path), _UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(settings or {}, dict):
        raise ValueError(f"{path} must hold `key: value` lines, not a {type(settings).__name__}")
    return settings or {}


def _typed(key, value, kind):
    """`value` as `kind`, or a ValueError that names the key.

    `kind` is str, bool, int, float, list[...], dict[...] or one of them | None.
    """
    if isinstance(kind, types.UnionType):
        return None if value is None else _typed(key, value, get_args(kind)[0])
    if get_origin(kind) is list:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{key} must be a list, got {value!r}")
        return [_typed(f"{key}[{i}]", item, get_args(kind)[0]) for i, item in enumerate(value)]
    if get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{key} must be `name: value` lines, got {value!r}")
        named, held = get_args(kind)
        return {
            _typed(f"a key of {key}", name, named): _typed(f"{key}[{name!r}]", item, held)
            for name, item in value.items()
        }
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # In Python, True is an int.
    if not isinstance(value, kind) or isinstance(value, bool) and kind is not bool:
        advice = _advice(kind, value)
        raise ValueError(f"{key} must be of type {kind.__name__}, got {value!r}{advice}")
    return value


def _advice(kind, value):
    """A hint on values that YAML reads otherwise than meant."""
    if kind is float and isinstance(value, str):
        return " (YAML reads 1e-3 as text: write 1.0e-3)"
    if kind is str and isinstance(value, (int, float)):
        return " (YAML reads it as a number or a yes: write it in quotes)"
    if kind is int and isinstance(value, str):
        return " (write a number without quotes)"
    return ""


def check_draws(n_random_orders: int, n_bootstrap: int) -> None:
    """Raise ValueError for too few random orders or bootstrap draws, or no whole numbers."""
    for name, count in dict(n_random_orders=n_random_orders, n_bootstrap=n_bootstrap).items():
        if not isinstance(count, Integral) or isinstance(count, bool):
            raise ValueError(f"{name} must be a whole number, got {count!r}")
    if n_random_orders < LOWEST["n_random_orders"]:
        raise ValueError(
            f"n_random_orders must be at least {LOWEST['n_random_orders']}, got {n_random_orders}"
        )
    if n_bootstrap != 0 and n_bootstrap < FEWEST_DRAWS:
        raise ValueError(
            "n_bootstrap must be 0, for intervals in closed form, or at least "
            f"{FEWEST_DRAWS}, got {n_bootstrap}: of fewer draws they are too narrow"
        )


def _check_values(profile):
    """Check ranges, choices, duplicates, lengths and the data folder."""
    _check_lists(profile)
    _check_choices(profile)
    _check_chapters(profile)
    _check_numbers(profile)
    if set("{}") & set(profile.results_dir):
        raise ValueError(
            f"results_dir: expected a folder without braces, got {profile.results_dir!r}: "
            "the workflow takes what stands in them for a pattern"
        )
    if profile.data_root is not None and not Path(profile.data_root).is_dir():
        raise FileNotFoundError(f"data_root: there is no folder {profile.data_root}")


def _check_lists(profile):
    for key in KINDS:
        values = getattr(profile, key)
        if not isinstance(values, list):
            continue
        if len(set(values)) < len(values) or not values and key not in MAY_BE_EMPTY:
            raise ValueError(f"{key} must hold at least one value and none twice, got {values}")
    clip, laclip = profile.clip_models, profile.laclip_models
    if clip and laclip and len(clip) != len(laclip):
        raise ValueError(
            "clip_models and laclip_models are compared pair by pair and must be of equal length "
            f"(or one of them empty, where nothing is compared), got {len(clip)} and {len(laclip)}"
        )


def _check_choices(profile):
    for key, known in CHOICES.items():
        values = getattr(profile, key)
        for value in values if isinstance(values, list) else [values]:
            own = key in LISTED and Path(value).suffix.lower() in LIST_SUFFIXES
            if value not in known and not own:
                also = ", or a file .txt or .json" if key in LISTED else ""
                raise ValueError(f"{key}: unknown {value!r}, {did_you_mean(value, known)}{also}")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", profile.device):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, got {profile.device!r}")


def _check_chapters(profile):
    """Check that each chapter has what it needs."""
    comparing = any(set(COMPARED) <= set(CHAPTERS[name].models) for name in profile.chapters)
    if comparing and not profile.clip_models + profile.laclip_models:
        raise ValueError("clip_models and laclip_models are both empty: name one model at least")
    judged = [name for name, chapter in CHAPTERS.items() if chapter.judged]
    if CLAIMS in profile.chapters and not set(judged) & set(profile.chapters):
        raise ValueError(f"{CLAIMS} judges {', '.join(judged)}, but chapters names none of them")
    for name in profile.chapters:
        for key in CHAPTERS[name].several:
            if len(getattr(profile, key)) < 2:
                raise ValueError(f"{name} needs at least 2 {key}, got {getattr(profile, key)}")
    if LADDER in profile.chapters and len(profile.ladder_models) < 4:
        raise ValueError(
            f"{LADDER} needs at least 4 different ladder_models, got {profile.ladder_models}"
        )


def _check_numbers(profile):
    for key in ["ratios", "mistaken", "spurious_captions"]:
        if any(not 0 <= share <= 1 for share in getattr(profile, key)):
            raise ValueError(f"{key} are shares and lie in [0, 1], got {getattr(profile, key)}")
    if any(not 0 <= probability <= 0.5 for probability in profile.spurious_features):
        raise ValueError(
            "spurious_features are probabilities and lie in [0, 0.5], "
            f"got {profile.spurious_features}"
        )
    for key, low in LOWEST.items():
        if getattr(profile, key) < low:
            raise ValueError(f"{key} must be at least {low}, got {getattr(profile, key)}")
    check_draws(profile.n_random_orders, profile.n_bootstrap)
    if profile.caption_shards > profile.n_pairs:
        raise ValueError(
            "caption_shards must be at most n_pairs, "
            f"got {profile.caption_shards} for {profile.n_pairs}"
        )
    if min(profile.seeds + profile.simulation_seeds) < 0 or min(profile.kept or [1]) < 1:
        raise ValueError(
            f"seeds and simulation_seeds are 0 or more and kept 1 or more, got {profile.seeds}, "
            f"{profile.simulation_seeds} and {profile.kept}"
        )
    if not 0 < profile.learning_rate < math.inf or not 0 <= profile.weight_decay < math.inf:
        raise ValueError(
            "learning_rate must be positive and weight_decay 0 or more, "
            f"got {profile.learning_rate} and {profile.weight_decay}"
        )
