"""Prompt templates by name or from a file: sentences with "{}" for the class name."""

from collections.abc import Iterable, Sequence
from pathlib import PurePath

from featpurity.captions.synthetic import SCENE_TEMPLATES
from featpurity.data.class_names import is_own_list, of_dataset, read_list
from featpurity.files import meant

PAPER = ["a photo of a {}"]


def prompt_set(name: str | Sequence[str], dataset: str | None = None) -> list[str]:
    """The templates of a prompt set.

    Parameters
    ----------
    name : {"paper", "laclip", "openai", "scenes"}, a path that ends in `.txt` or `.json`, or a list
        The paper's one sentence; LaCLIP's 7 and CLIP's 80 for ImageNet, both from open_clip; those
        of the generated pictures; a file, as text with one template per line, a JSON list of them,
        or a JSON object data set -> list; or a list of templates. "{}" or "{c}" stands for the
        class name.
    dataset : str, optional
        Needed for "scenes", whose templates differ by attribute ("scenes_shape", "scenes_colour",
        ...), and for a file with data sets.

    Returns
    -------
    templates : list of str
        Each with "{}".

    Raises
    ------
    ValueError, FileNotFoundError
        For an unknown name, a data set without templates, or a file without templates.

    References
    ----------
    Radford et al. (2021), section 3.1.4; Fan et al. (2023), Improving CLIP Training with Language
    Rewrites.
    """
    dataset = None if dataset is None else meant(dataset)
    if not isinstance(name, str | PurePath):
        return _with_braces(as_texts("prompts", name))
    if is_own_list(name):
        return _own(name, dataset)
    if name == "scenes":
        return _scenes(dataset)
    import open_clip  # late: takes seconds

    known = {
        "paper": PAPER,
        "laclip": open_clip.SIMPLE_IMAGENET_TEMPLATES,
        "openai": open_clip.OPENAI_IMAGENET_TEMPLATES,
    }
    if name not in known:
        expected = ", ".join([*known, "scenes"])
        raise ValueError(
            f"prompts: expected one of {expected}, or a file .txt or .json, got {name!r}"
        )
    return [template if isinstance(template, str) else template("{}") for template in known[name]]


def _own(path, dataset):
    """The templates of the user's file."""
    content = read_list(path)
    if isinstance(content, str):
        content = [line.strip() for line in content.splitlines() if line.strip()]
    if isinstance(content, dict):
        if (of_it := of_dataset(content, dataset)) is None:
            raise ValueError(
                f"{path} has no templates for the data set {dataset!r}, but for "
                f"{', '.join(content) or 'none'}"
            )
        content = of_it
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path}: expected a list of templates, got {content!r:.80}")
    return _with_braces(as_texts(str(path), content), path)


def _scenes(dataset):
    attribute = str(dataset).removeprefix("scenes_")
    if attribute not in SCENE_TEMPLATES:
        expected = ", ".join(f"scenes_{known}" for known in SCENE_TEMPLATES)
        raise ValueError(
            f"prompts 'scenes' belong to the data sets {expected}; got data set {dataset!r}"
        )
    return list(SCENE_TEMPLATES[attribute])


def fill(classes: Iterable[str], templates: Iterable[str]) -> list[str]:
    """Every template with every class name: n_classes x n_templates prompts, grouped by class."""
    classes, templates = as_texts("classes", classes), as_texts("templates", templates)
    if not classes:
        raise ValueError("classes: expected at least one class name, got none")
    templates = _with_braces(templates)
    return [template.replace("{}", name) for name in classes for template in templates]


def _with_braces(templates, where="templates"):
    """Templates with "{}" for the class name, which may be given as "{c}"."""
    templates = [template.replace("{c}", "{}") for template in templates]
    without = [template for template in templates if "{}" not in template]
    if not templates or without:
        raise ValueError(
            f"{where}: expected sentences with '{{}}' for the class name, got {without or 'none'}"
        )
    return templates


def as_texts(what: str, given: Iterable[str]) -> list[str]:
    """Texts as a list, as a generator can be read only once; a ValueError for anything else."""
    listed = isinstance(given, Iterable) and not isinstance(given, str)
    texts = list(given) if listed else given
    if not listed or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{what}: expected a list of texts, got {texts!r:.80}")
    return texts
