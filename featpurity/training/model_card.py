"""The card of a small model made from scratch: how it was made and how well it does."""

from dataclasses import asdict
from pathlib import Path

from featpurity.captions.synthetic import ATTRIBUTES, MISSING, SPURIOUS
from featpurity.data.datasets import load_dataset
from featpurity.files import write_text
from featpurity.models.load import load_model
from featpurity.training.evaluate import zero_shot_on
from featpurity.training.scratch import Recipe

CARD = Path(__file__).parent.parent / "assets" / "model_card.md"
# Data sets on which a profile's models are measured, and the prompt set.
TESTS = {
    "scenes": ([f"scenes_{attribute}" for attribute in ATTRIBUTES], "scenes"),
    "photos": (["cifar10"], "paper"),
}
DATA = {
    "scenes": "{n} generated pictures, `featpurity.data.scenes.Scenes({n}, seed=0)`",
    "photos": "The {n} training photographs of CIFAR-10 and their class names",
}
CAPTIONS = {
    "clip": "One raw caption a picture.",
    "laclip": "One of a raw and {rewrites} rewritten captions a picture, drawn anew at each step.",
}
CHOSEN = {
    "scenes": "Architecture and settings were chosen by the zero-shot accuracy of the LaCLIP\n"
    "model alone, on pictures kept apart for that.",
    "photos": "The number of epochs was set by the time at hand, not by accuracy: longer training\n"
    "was not tried.",
}
PROMPTS = {
    "scenes": "the templates `featpurity.captions.synthetic.SCENE_TEMPLATES`, on other pictures",
    "photos": 'the prompt "a photo of a {}", on the test photographs',
}


def measure(
    folder: str | Path, profile: str, data_root: str | Path | None = None
) -> dict[str, float]:
    """Zero-shot accuracy of a saved model on each of its profile's test sets, in [0, 1]."""
    (names, prompts), clip = TESTS[profile], load_model(f"local-dir:{folder}")
    evaluate = zero_shot_on(clip, [load_dataset(name, data_root) for name in names], prompts)
    found = evaluate(clip.image_neurons, clip.text_neurons)
    return {name: found[f"accuracy_{name}"] for name in names}


def setting_lines(recipe: Recipe) -> str:
    """A recipe's settings as a Markdown list."""
    return "\n".join(f"- {name}: {value}" for name, value in asdict(recipe).items())


def write_card(
    folder: Path,
    profile: str,
    kind: str,
    recipe: Recipe,
    n_pictures: int,
    n_rewrites: int,
    history: list[dict],
    accuracy: dict[str, float],
) -> None:
    """Write a model's card, `README.md` in its folder.

    Parameters
    ----------
    folder : Path
        Named like the model.
    profile : {"scenes", "photos"}
    kind : {"clip", "laclip"}
    recipe, n_pictures, n_rewrites, history
        How the model was made, and how its training went (see `featpurity.training.scratch.train`).
    accuracy : dict
        From `measure`.
    """
    bundled = folder.name == f"{profile}_{kind}"
    rows = {**accuracy, "mean": sum(accuracy.values()) / len(accuracy)}
    card = CARD.read_text(encoding="utf-8").format(
        name=folder.name,
        method={"clip": "CLIP", "laclip": "LaCLIP"}[kind],
        command=f"pretrain {profile}" + ("" if bundled else f" --seeds {recipe.seed} --out FOLDER"),
        source=folder.name if bundled else "local-dir:PATH",
        data=DATA[profile].format(n=n_pictures),
        captions=CAPTIONS[kind].format(rewrites=n_rewrites),
        missing=MISSING,
        spurious=SPURIOUS,
        epochs=len(history),
        steps=n_pictures // recipe.batch_size,
        minutes=sum(epoch["seconds"] for epoch in history) / 60,
        loss=history[-1]["loss"],
        chosen=CHOSEN[profile],
        settings=setting_lines(recipe),
        seed=recipe.seed,
        prompts=PROMPTS[profile],
        accuracies="\n".join(f"| {name} | {value:.3f} |" for name, value in rows.items()),
        context_length=recipe.text["context_length"],
        image_size=recipe.image_size,
    )
    write_text(folder / "README.md", card)
