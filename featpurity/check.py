"""Can a profile run: its names, files, sizes and pictures, asked before anything heavy starts.

What a profile can know of itself (types, ranges, choices) `featpurity.profile` has said already.
"""

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from featpurity.data.catalog import (
    GENERATED_PAIRS,
    SCENES,
    Source,
    find,
    find_training,
    names,
    pairs_source,
    rewrites_source,
    without_training,
)
from featpurity.data.class_names import (
    by_dataset,
    is_own_list,
    place_of,
    read_class_names,
    read_list,
)
from featpurity.data.prompts import prompt_set
from featpurity.files import did_you_mean, workspace, write_text
from featpurity.labels import labels_of
from featpurity.models.names import ModelRecord, known, resolve
from featpurity.models.rungs import rungs
from featpurity.profile import CHAPTERS, FILTER, LADDER, ONLINE, ONLINE_STEPS, Profile, results_dirs

if TYPE_CHECKING:  # else late: brings torch
    from featpurity.data.pairs import CaptionedImages

OWNER = "profile.json"  # in a folder of results: the profile whose run it holds
SOURCES = {"benchmarks", "book", "featpurity", "notebooks", "profiles", "tests", "workflow", ".git"}
BLOCKS = "FEATPURITY_BLOCK_MIB"  # environment: see featpurity.metrics.inputs
CHECKED = "FEATPURITY_CHECKED"  # environment: digest of the settings that were checked already


def check(profile: Profile) -> list[str]:
    """Refuse what cannot run.

    Returns
    -------
    remarks : list of str
        What runs, but otherwise than one might think: a silhouette that is not defined, a batch
        that is cut, pictures that are left out.

    Raises
    ------
    ValueError
        For names, files and sizes that cannot work, and for unreadable pictures.
    FileNotFoundError
        For what has to be put in place.
    """
    sources = sources_of(profile)
    check_settings(profile)
    if missing := missing_of(*sources):
        raise FileNotFoundError("; ".join(missing))
    return check_files(profile)


def check_settings(profile: Profile) -> None:
    """The part of `check` that can be asked before all files are in place."""
    _check_blocks()
    _check_pairs_of_filter(profile)
    labels_of([*profile.models, *profile.datasets], profile.labels)  # no two alike
    _check_device(profile.device)
    _check_kept(profile)
    _check_results_dir(profile)
    _check_store_dir(profile)
    _check_owner(profile)
    if LADDER in profile.chapters:
        from featpurity.metrics.rank_correlation import check_groups  # late: brings pandas

        records = [known(name) for name in profile.ladder_models]
        if all(records):  # what is missing is told elsewhere
            check_groups([rung.group for rung in rungs(records)])
    strangers = [name for name in profile.datasets if name not in SCENES]
    if profile.prompts == "scenes" and strangers:
        raise ValueError(
            f"prompts 'scenes' know nothing of {', '.join(strangers)}: take paper, laclip or openai"
        )


def check_files(profile: Profile) -> list[str]:
    """The part of `check` that reads files: lists of words, class folders, pairs, weights; its
    remarks."""
    _check_lists_of_words(profile)
    unread = _check_keys(profile)
    used = {*profile.models, *profile.datasets, profile.pairs, *profile.rewrites}
    strangers = [
        f"labels: {name} is nothing of this run" for name in profile.labels if name not in used
    ]
    remarks = [*strangers, *unread, *_read_only_store(profile)]
    if profile.trains_probes:
        remarks += without_training(profile.datasets, profile.data_root)
    of_pictures, tested = _check_pictures(profile)
    remarks += [*of_pictures, *_check_pairs(profile, tested)]
    return remarks + _check_weights(profile)


def sources_of(profile: Profile) -> tuple[list[ModelRecord | Source], list[Source], list[Source]]:
    """What is known of a profile's models, data sets and pairs."""
    root = profile.data_root
    models = [_model(name) for name in profile.models]
    datasets = [find(name, root) for name in profile.datasets]
    pairs = []
    if profile.reads_pairs:
        pairs.append(pairs_source(profile.pairs, root))
        pairs += [rewrites_source(name, root) for name in profile.rewrites]
    return models, datasets, pairs


def training_of(profile: Profile) -> dict[str, Source]:
    """The training images that probes are trained on, by the data sets that have them."""
    names = profile.datasets if profile.trains_probes else []
    found = {name: find_training(name, profile.data_root) for name in names}
    return {name: source for name, source in found.items() if source and not source.missing}


def _model(name):
    """What a name stands for; of a model whose folder or file is not there, what is missing."""
    try:
        return resolve(name)
    except FileNotFoundError as error:
        return Source(name, "a model", missing=str(error))


def missing_of(*parts: list[ModelRecord] | list[Source]) -> list[str]:
    """What has to be put in place first, a line for each of some sources."""
    sources = [source for part in parts for source in part]
    return [f"{source.name}: {source.missing}" for source in sources if source.missing]


def own_results(profile: Profile) -> None:
    """Note in the folder of results whose run it holds; `check` refuses other profiles there."""
    if profile.file:
        root, file = workspace("."), Path(profile.file)
        shown = file.relative_to(root) if file.is_relative_to(root) else file  # a checkout may move
        note = workspace(profile.results_dir) / OWNER
        text = json.dumps({"profile": str(shown)})
        if not note.is_file() or note.read_text(encoding="utf-8") != text:
            write_text(note, text)


def load_csv(profile: Profile) -> "CaptionedImages | None":
    """The profile's pairs from a CSV, None where they are generated or no chapter needs them."""
    if profile.pairs in GENERATED_PAIRS or not profile.reads_pairs:
        return None
    from featpurity.data.pairs import load_pairs  # late: brings torch

    return load_pairs(
        profile.pairs, profile.data_root, profile.n_pairs, profile.rewrites, profile.unreadable
    )


def _check_pairs_of_filter(profile):
    generated = profile.pairs in GENERATED_PAIRS
    if FILTER in profile.chapters and not generated:
        raise ValueError(
            f"{FILTER} needs pairs whose right captions are known: "
            f"{' or '.join(GENERATED_PAIRS)}, got {profile.pairs!r}"
        )
    if profile.rewrites and generated:
        raise ValueError(
            f"rewrites go with a CSV of pairs, but the captions of {profile.pairs!r} are generated"
        )


def _check_blocks():
    """The size of blocks, where the environment sets one, is a size."""
    if BLOCKS in os.environ:
        import torch  # late: takes seconds

        from featpurity.metrics.inputs import row_blocks

        row_blocks(1, 1, torch.empty(1))


def _check_device(device):
    """A GPU that is requested by name has to be here, or on the nodes of a cluster."""
    if device in {"auto", "cpu"} or shutil.which("sbatch"):
        return
    from featpurity.models.device import pick_device  # late: brings torch, which takes seconds

    pick_device(device)


def _check_kept(profile):
    for name in profile.models if profile.kept else []:
        record = known(name)
        size = record and record.d
        if size and max(profile.kept) > size:
            raise ValueError(f"kept goes up to {max(profile.kept)}, but {name} has {size} neurons")


def _check_results_dir(profile):
    """The folder of results is none that holds something else: a run replaces what lies in it."""
    results, root = workspace(profile.results_dir).resolve(), workspace(".").resolve()
    if results.exists() and not results.is_dir():
        raise ValueError(f"results_dir: {profile.results_dir} is a file; expected a folder")
    if root.is_relative_to(results):
        raise ValueError(
            f"results_dir: {profile.results_dir!r} holds the checkout itself, whose notebooks and "
            "book a run would replace; expected a folder of its own, as results/NAME"
        )
    inside = results.relative_to(root).parts[0] if results.is_relative_to(root) else ""
    if inside in SOURCES:
        raise ValueError(
            f"results_dir: {profile.results_dir} lies in {inside}/, which is the checkout's; "
            "expected a folder of its own, as results/NAME"
        )
    if profile.file and results.is_dir() and not (results / OWNER).is_file():
        store = workspace(profile.store_dir).resolve()
        theirs = [
            path.name
            for path in sorted(results.iterdir())
            if not path.name.startswith(".") and not store.is_relative_to(path)
        ]
        if theirs:
            raise ValueError(
                f"results_dir: {profile.results_dir} holds {', '.join(theirs[:3])}, and no "
                f"{OWNER} that says that a run wrote it, which a run would replace; expected a new "
                "or empty folder (results of an older version: move them)"
            )


def _check_store_dir(profile):
    """The store is a folder, or one can be made."""
    store = workspace(profile.store_dir)
    there = next(path for path in (store, *store.parents) if path.exists())
    if not there.is_dir() or (there != store and not os.access(there, os.W_OK)):
        fault = "may not be written" if there.is_dir() else "is a file"
        raise ValueError(f"store_dir: {store} cannot be made, since {there} {fault}")


def _read_only_store(profile):
    store = workspace(profile.store_dir)
    if store.is_dir() and not os.access(store, os.W_OK):
        return [f"store_dir: {store} may not be written: features it lacks will not be kept"]
    return []


def _check_owner(profile):
    """No other profile writes to the same folder of results: of those beside this one, whether
    they have run or not; of those elsewhere, the one whose run the folder holds.
    """
    if not profile.file:
        return
    results = workspace(profile.results_dir)
    for beside, folder in results_dirs(Path(profile.file).parent).items():
        if beside != Path(profile.file) and workspace(folder).resolve() == results.resolve():
            raise ValueError(
                f"{profile.results_dir}/ is also the results_dir of {beside}: "
                f"give {profile.file} one of its own"
            )
    note = results / OWNER
    if not note.is_file():
        return
    owner = workspace(json.loads(note.read_text(encoding="utf-8"))["profile"])
    if owner != Path(profile.file) and owner.is_file():
        raise ValueError(
            f"{profile.results_dir}/ holds the run of another profile, {owner}: "
            f"give {profile.file} a results_dir of its own"
        )


def _check_lists_of_words(profile):
    """Own class names and prompts fit every data set, and a picture's classes the chapters."""
    reading = [name for name in profile.chapters if profile.models_of(name)]
    one_class = [name for name in reading if not CHAPTERS[name].multi_label]
    several = [name for name, chapter in CHAPTERS.items() if chapter.multi_label]
    for path in filter(is_own_list, [profile.prompts, profile.class_names]):
        read_list(path)  # of generated pictures and torchvision's nothing below asks for it
    for name in profile.datasets:
        found = find(name, profile.data_root)
        if found.several and one_class:
            raise ValueError(
                f"{name}: its pictures show several classes, which {one_class[0]} does not take: "
                f"give {' and '.join(several)} a profile of its own"
            )
        if is_own_list(profile.prompts):
            prompt_set(profile.prompts, name)
        if is_own_list(profile.class_names) and found.listed:
            read_class_names(profile.class_names, found.listed.folders, name)


def _check_weights(profile):
    """Files of weights fit their architectures, of those that this disk has and others made; what
    loading them warns of, as remarks.
    """
    records = filter(None, map(known, profile.models))
    files = [record for record in records if record.kind in {"file", "folder"}]
    if not files:
        return []
    from featpurity.models.load import check_weights  # late: brings torch and open_clip

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        for record in files:
            check_weights(record.name)
    return [str(warning.message) for warning in told]


def _check_keys(profile):
    """Names of classes by data set are those of this run's, or else of the catalogue's; a remark on
    the latter.
    """
    if not is_own_list(profile.class_names):
        return []
    content = read_list(profile.class_names)
    places = set(map(place_of, profile.datasets))
    strangers = [key for key in by_dataset(content) or [] if place_of(key) not in places]
    for key in strangers:
        if key not in names():
            raise ValueError(
                f"{profile.class_names}: {key!r} is no data set of this run, "
                f"{did_you_mean(key, profile.datasets)}"
            )
    unread = ", ".join(strangers)
    return [f"class_names: {unread} is nothing of this run"] if strangers else []


def _check_pictures(profile):
    """Data sets on this disk: listed, and each picture opened once (the store remembers); remarks,
    and the test images by the names of the data sets.
    """
    kinds = {name: find(name, profile.data_root).kind for name in profile.datasets}
    here = [name for name, kind in kinds.items() if kind not in {"generated", "absent"}]
    if not here:
        return [], {}
    from featpurity.data.datasets import groups_of_classes  # late: brings torch
    from featpurity.features.extract import refuse_unreadable

    remarks, tested = [], {}
    for name in here:
        parts = _what_is_here(profile, name)
        if parts:
            tested[name] = parts[0]
            remarks += [*_check_classes(name, parts[0]), *_in_two_classes(parts[0])]
            remarks += groups_of_classes(parts[0])
        for part in parts:
            remarks += [*_skipped(part), *refuse_unreadable(part, workspace(profile.store_dir))]
    return remarks, tested


def _what_is_here(profile, name):
    """The test images, and the training images for probes, without a download: what the run will
    fetch, such as a part of torchvision's files, is not there yet.
    """
    from featpurity.data.datasets import load_splits  # late: brings torch

    settings = (profile.data_root, profile.class_names, profile.unreadable, False)
    for training in [True, False] if profile.trains_probes else [False]:
        try:
            return load_splits(name, *settings, training)
        except FileNotFoundError:
            continue
    return []


def _check_classes(name, data):
    """There are classes to compare, or, where a picture may show several, some that are shown."""
    labels = data.labels
    if labels.ndim == 2:
        if not labels.any():
            raise ValueError(f"{name}: no picture shows any of its {labels.shape[1]} classes")
        return []
    used = len(set(labels.tolist()))
    if used < 2:
        raise ValueError(
            f"{name}: {used} class; accuracy and silhouette compare classes, so that "
            "at least 2 are needed"
        )
    remarks = []
    if used == len(labels):
        remarks.append(f"{name}: one picture a class, so that its silhouette is not defined")
    if labels.min() > 0:
        remarks.append(
            f"{name}: class 0 ({data.classes[0]}) has no picture: do the labels start at 1?"
        )
    return remarks


def _in_two_classes(data):
    """A remark on files that stand in more than one class, of which one has to be wrong."""
    classes = {}
    for content, label in zip(_contents(data), data.labels.tolist()):
        classes.setdefault(content, set()).add(str(label))
    n = sum(len(of_it) > 1 for of_it in classes.values())
    return [f"{data.name}: {n:,} pictures stand in more than one class"] if n else []


def _contents(data):
    """What tells files of pictures apart; nothing of those in tar archives and in memory."""
    return getattr(data.images, "contents", [])


def _check_pairs(profile, tested):
    """The pairs of a CSV, their pictures, and the batches that can be made of them."""
    pairs = load_csv(profile)
    remarks = [*_skipped(pairs), *_blank(pairs)] if pairs else []
    if pairs:
        from featpurity.features.extract import refuse_unreadable  # late: brings torch

        remarks += refuse_unreadable(pairs, workspace(profile.store_dir))
        trained = set(_contents(pairs))
        for name, data in tested.items():
            if n := len(trained & {*_contents(data)}):
                remarks.append(
                    f"{name}: {n:,} of its pictures are among the pairs {pairs.name} too"
                )
    n_pairs = profile.n_pairs if pairs is None else len(pairs)
    asked = f"batches of {profile.batch_size:,} pairs are cut to"
    if (profile.finetunes or FILTER in profile.chapters) and n_pairs < profile.batch_size:
        remarks.append(
            f"{asked} {n_pairs:,}, since there are no more: every step sees all pairs, and seeds "
            "differ by their swaps alone"
        )
    share = min(n_pairs, profile.online_pairs) // ONLINE_STEPS
    if ONLINE in profile.chapters and share < profile.batch_size:
        remarks.append(f"{ONLINE}: {asked} {share:,}, for {ONLINE_STEPS} steps an epoch")
    return remarks


def _blank(pairs):
    """Captions that say nothing, and what stands in their place."""
    best, count = pairs.best_captions, lambda texts: sum(not text.strip() for text in texts)
    rewrites = count(texts[0] for texts in pairs.rewrites if texts)
    told = [f"{count(pairs.captions):,} blank captions"] if count(pairs.captions) else []
    told += [f"{rewrites:,} blank lines of the first rewrites"] if rewrites else []
    if not told:
        return []
    kept = f"{count(best):,} pairs have no other text and keep the empty one"
    taken = "a pair's next text that is not blank stands for each"
    return [f"{pairs.name}: {' and '.join(told)}; {kept if count(best) else taken}"]


def _skipped(data):
    n = len(data.skipped)
    return [f"{data.name}: {n} unreadable pictures are left out"] if n else []
