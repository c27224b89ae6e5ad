"""Prompt templates by name: sentences with "{}" where the class name goes."""

import open_clip

PAPER = ["a photo of a {}"]


def prompt_set(name, dataset=None):
    """The templates of a prompt set.

    Parameters
    ----------
    name : {"paper", "laclip", "openai", "scenes"}
        The paper's one sentence; the 7 that LaCLIP takes and the 80 of CLIP for ImageNet, both from
        open_clip; or the ones of the generated pictures.
    dataset : str, optional
        Needed for "scenes", whose templates differ by attribute: "scenes_shape", "scenes_colour",
        ...

    Returns
    -------
    templates : list of str
        Each with exactly one "{}".

    References
    ----------
    Radford et al. (2021), section 3.1.4; Fan et al. (2023), Improving CLIP Training with Language
    Rewrites.
    """
    known = {
        "paper": PAPER,
        "laclip": open_clip.SIMPLE_IMAGENET_TEMPLATES,
        "openai": open_clip.OPENAI_IMAGENET_TEMPLATES,
    }
    if name == "scenes":
        return _scenes(dataset)
    if name not in known:
        raise ValueError(f"prompts: expected one of {', '.join([*known, 'scenes'])}, got {name!r}")
    return [template if isinstance(template, str) else template("{}") for template in known[name]]


def _scenes(dataset):
    from featpurity.captions.synthetic import SCENE_TEMPLATES

    attribute = str(dataset).removeprefix("scenes_")
    if attribute not in SCENE_TEMPLATES:
        expected = ", ".join(f"scenes_{known}" for known in SCENE_TEMPLATES)
        raise ValueError(
            f"prompts 'scenes' belong to the data sets {expected}; got data set {dataset!r}"
        )
    return list(SCENE_TEMPLATES[attribute])


def fill(classes, templates):
    """Every template with every class name: n_classes x n_templates prompts, those of a class side
    by side.
    """
    if not classes:
        raise ValueError("classes: expected at least one class name, got none")
    without = [t for t in templates if "{}" not in t]
    if not templates or without:
        raise ValueError(
            f"templates: expected sentences with '{{}}' for the class name, got {without or templates}"
        )
    return [template.replace("{}", name) for name in classes for template in templates]
