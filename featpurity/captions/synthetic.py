"""Generate two kinds of captions: raw, like web alt-text, and rewritten, like LaCLIP's.

A picture's *facts* are a dict: attribute -> class name for the generated scenes (`scene_facts`),
`{"class": name}` for photographs. A raw caption leaves out each fact with probability `MISSING`,
replaces each of the others by its fixed spurious partner with probability `SPURIOUS`, and adds
boilerplate. A rewritten caption is a correct, complete sentence; several of them name different
facts in different words and order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

import numpy as np

# Attributes of a generated scene, and the words for them; `featpurity.data.scenes` draws them.
_COLOURS = "red orange yellow green blue cyan purple pink brown black grey white".split()
ATTRIBUTES = {
    "shape": (
        "circle ring square house triangle tree diamond hourglass star cross heart moon arrow "
        "fish bolt mushroom"
    ).split(),
    "colour": _COLOURS,
    "background": _COLOURS,
    "texture": ["plain", "striped", "spotted", "checked"],
    "size": ["small", "medium", "large"],
    "position": ["top left", "top right", "bottom left", "bottom right", "centre"],
}
MISSING = 0.4
SPURIOUS = 0.2
FEWEST_NAMED, MOST_NAMED = 1, 5  # facts besides the shape in one rewritten sentence about a scene
SHAPE_NAMED = 0.9
BOILERPLATE = [
    "free download",
    "stock photo",
    "hd wallpaper",
    "clip art",
    "best price",
    "click here",
    "image",
    "new",
    "royalty free",
    "banner",
    "design",
    "thumbnail",
    "online shop",
    "photo 1",
    "photo 2",
]
# A photograph's class -> its article, its spurious partner, and what is true of all its members.
PHOTO_CLASSES = {
    "airplane": ("an", "ship", ["a vehicle that flies", "a machine with wings", "an aircraft"]),
    "automobile": (
        "an",
        "truck",
        ["a vehicle with four wheels", "a car for a few people", "a road vehicle"],
    ),
    "bird": (
        "a",
        "frog",
        ["an animal with feathers", "an animal with a beak", "an animal with wings"],
    ),
    "cat": (
        "a",
        "dog",
        ["a furry pet with whiskers", "an animal that meows", "a small furry animal"],
    ),
    "deer": (
        "a",
        "horse",
        ["a wild animal with hooves", "an animal of the forest", "an animal that grazes"],
    ),
    "dog": ("a", "cat", ["a loyal pet", "an animal that barks", "a furry animal with a long nose"]),
    "frog": ("a", "bird", ["an animal that jumps", "a small animal with wet skin", "an amphibian"]),
    "horse": (
        "a",
        "deer",
        ["an animal with a mane", "an animal that people ride", "a tall hoofed animal"],
    ),
    "ship": ("a", "airplane", ["a vessel on the water", "a vehicle that floats", "a large boat"]),
    "truck": (
        "a",
        "automobile",
        ["a vehicle for heavy loads", "a big road vehicle", "a vehicle for goods"],
    ),
}
_PHOTO_SENTENCES = [
    "this is a photo of {a} {name}.",
    "this is {a} {name}.",
    "there is {a} {name} in this photo.",
    "the {name} is {fact}.",
    "in this picture you can see {a} {name}.",
    "{a} {name} is {fact}.",
    "the photo shows one {name}.",
    "here is a close look at the {name}.",
    "you can see {a} {name}, {fact}.",
    "{a} {name}, which is {fact}, is in the photograph.",
    "this picture shows {fact}, that is {a} {name}.",
]
_OBJECT = [
    "this is a picture of the {} shape.",
    "there is one {} object.",
    "you can see the {} object.",
    "this picture shows one {} shape.",
]
_GROUND = [
    "this is a picture of one object on the {} background.",
    "on the {} background there is one object.",
    "you can see one shape against the {} background.",
    "there is one shape on the {} background.",
]
SCENE_TEMPLATES = {
    "shape": [
        "this is a picture of the {}.",
        "there is one {}.",
        "you can see the {}.",
        "this picture shows one {}.",
    ],
    "colour": _OBJECT,
    "background": _GROUND,
    "texture": _GROUND,
    "size": _OBJECT,
    "position": [
        "this is a picture of one object in the {}.",
        "there is one shape at the {}.",
        "you can see one object in the {}.",
        "in the {} there is one shape.",
    ],
}
_OPENERS = [
    "this is a picture of",
    "there is",
    "you can see",
    "this picture shows",
    "this is a drawing of",
    "the image has",
]


def scene_facts(row: Iterable[int]) -> dict[str, str]:
    """Attribute -> class name for one row of `scenes.sample`."""
    return {
        attribute: names[i] for (attribute, names), i in zip(ATTRIBUTES.items(), row, strict=True)
    }


def spurious_partner(attribute: str, name: str) -> str:
    """The class name that replaces `name` in a caption that is wrong about `attribute`.

    Scenes pair neighbours in the lists of `ATTRIBUTES` (circle and ring, red and orange); an odd
    last name takes the one before it. Photographs pair similar classes (cat and dog, automobile and
    truck).
    """
    if attribute == "class":
        return PHOTO_CLASSES[name][1]
    names = ATTRIBUTES[attribute]
    i = names.index(name)
    return names[i ^ 1] if i ^ 1 < len(names) else names[i - 1]


@dataclass(frozen=True)
class Written:
    """Captions of pictures, and what they say.

    Attributes
    ----------
    captions : list of n str
    said : list of n dicts
        The facts that each caption names, in its own words: attribute -> class name.
    right : bool array of shape (n,)
        Whether the caption names all its facts correctly.
    """

    captions: list[str]
    said: list[dict[str, str]]
    right: np.ndarray


def mistakes(said: dict[str, str], true: dict[str, str]) -> dict[str, str]:
    """The facts that a caption gets wrong, in its own words."""
    return {attribute: name for attribute, name in said.items() if name != true[attribute]}


def make_captions(
    all_facts: list[dict[str, str]], seed: int, n: int = 4
) -> tuple[list[str], list[list[str]], list[dict[str, str]]]:
    """Generate both kinds of captions for many pictures.

    Those of picture i depend only on (seed, i) and its facts.

    Returns
    -------
    captions : list of str
        One raw caption per picture.
    rewrites : list of lists of n str
    named : list of dicts
        The facts that each picture's first rewrite names.
    """
    made = [_both_kinds(facts, Random(f"{seed} {i}"), n) for i, facts in enumerate(all_facts)]
    return tuple([parts[i] for parts in made] for i in range(3))


def raw_captions(
    all_facts: list[dict[str, str]], seed: int, spurious: float = SPURIOUS, boilerplate: bool = True
) -> Written:
    """The raw captions of `make_captions`, for any probability of a spurious partner.

    The probability changes only names: omissions, boilerplate and order stay the same.

    Parameters
    ----------
    all_facts : list of n dicts
    seed : int
    spurious : float in [0, 1]
    boilerplate : bool, default True
        Whether to keep the words that say nothing about the picture.
    """
    written = [
        _raw(facts, Random(f"{seed} {i}"), spurious, boilerplate)
        for i, facts in enumerate(all_facts)
    ]
    return _judged(written, all_facts)


def recaptions(all_facts: list[dict[str, str]], seed: int, mistaken: float) -> Written:
    """One full sentence per picture, from a captioner that mistakes some facts for their partners.

    Parameters
    ----------
    all_facts : list of n dicts
    seed : int
        The caption of picture i depends only on (seed, i), its facts and `mistaken`.
    mistaken : float in [0, 1]
        Probability of a mistake about each fact, named or not.
    """
    written = []
    for i, facts in enumerate(all_facts):
        rng = Random(f"recaption {seed} {i}")
        said = _chosen({key: _misread(key, facts[key], mistaken, rng) for key in facts}, rng)
        written.append((_sentence(facts, said, rng), said))
    return _judged(written, all_facts)


def sentences(
    all_said: list[dict[str, str]], all_facts: list[dict[str, str]], seed: int
) -> Written:
    """One sentence per picture that names the given facts and no others.

    Parameters
    ----------
    all_said, all_facts : lists of n dicts
        The facts to name, and the true ones.
    seed : int
    """
    written = []
    for i, (facts, said) in enumerate(zip(all_facts, all_said, strict=True)):
        written.append((_sentence(facts, said, Random(f"sentence {seed} {i}")), said))
    return _judged(written, all_facts)


def _both_kinds(facts, rng, n):
    """A raw caption, n rewrites, and the facts that the first rewrite names."""
    raw, _ = _raw(facts, rng, SPURIOUS)
    said, sentences = [], []
    for _ in range(n):
        said.append(_chosen(facts, rng))
        sentences.append(_sentence(facts, said[-1], rng))
    return raw, sentences, said[0] if said else {}


def _raw(facts, rng, spurious, boilerplate=True):
    """A raw caption and the facts that it names."""
    words, said = rng.sample(BOILERPLATE, rng.randint(1, 3)), {}
    for attribute, name in facts.items():
        missing, wrong = rng.random() < MISSING, rng.random() < spurious
        if not missing:
            said[attribute] = spurious_partner(attribute, name) if wrong else name
    for attribute, name in said.items():
        words.append(f"{name} background" if attribute in ("background", "texture") else name)
    words = rng.sample(words, len(words))
    return " ".join(word for word in words if boilerplate or word not in BOILERPLATE), said


def _misread(attribute, name, mistaken, rng):
    return spurious_partner(attribute, name) if rng.random() < mistaken else name


def _judged(written, all_facts):
    """`Written` from pairs of a caption and the facts that it names."""
    captions, all_said = ([pair[part] for pair in written] for part in (0, 1))
    right = [not mistakes(said, facts) for said, facts in zip(all_said, all_facts)]
    return Written(captions, all_said, np.array(right, dtype=bool))


def _chosen(facts, rng):
    """The facts that a sentence names: a photo's class, or some of a scene's, mostly with shape."""
    if "class" in facts:
        return facts
    others = [attribute for attribute in facts if attribute != "shape"]
    named = rng.sample(others, rng.randint(FEWEST_NAMED, MOST_NAMED))
    named += ["shape"] if rng.random() < SHAPE_NAMED else []
    return {attribute: name for attribute, name in facts.items() if attribute in named}


def _sentence(facts, said, rng):
    """A sentence about a picture that names the given facts and no others."""
    return (_photo_sentence if "class" in facts else _scene_sentence)(said, rng)


def _photo_sentence(said, rng):
    if not said:
        return "this is a photo."
    article, _, truths = PHOTO_CLASSES[said["class"]]
    return rng.choice(_PHOTO_SENTENCES).format(
        a=article, name=said["class"], fact=rng.choice(truths)
    )


def _phrase(determiner, *words):
    """Words after a determiner, with "an" for "a" before a vowel."""
    phrase = " ".join(filter(None, words))
    vowel = phrase.startswith(("a", "e", "i", "o", "u", "hour"))
    return f"{'an' if determiner == 'a' and vowel else determiner} {phrase}"


def _scene_sentence(said, rng):
    """A sentence about a scene; without facts, about a shape or an object."""
    fact = {attribute: said.get(attribute, "") for attribute in ATTRIBUTES}
    noun = fact["shape"] or rng.choice(["shape", "object"])
    thing = _phrase(rng.choice(["a", "the", "one"]), fact["size"], fact["colour"], noun)
    surface = rng.sample([fact["texture"], fact["background"]], 2)
    ground = any(surface) and _phrase(rng.choice(["a", "the"]), *surface, "background")
    place = fact["position"] and f"{rng.choice(['in', 'at'])} the {fact['position']}"
    orders = [
        [rng.choice(_OPENERS), thing, place, ground and f"{rng.choice(['on', 'against'])} {ground}"]
    ]
    if ground:
        orders += [[f"on {ground} there is {thing}", place], [f"{ground} is behind {thing}", place]]
    if place:
        orders += [[place, f"there is {thing}", ground and f"on {ground}"]]
    return " ".join(filter(None, rng.choice(orders))) + "."
