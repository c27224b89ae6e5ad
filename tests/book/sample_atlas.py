"""A small atlas of neurons, as a notebook shows it, with hostile words wherever data bring words."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from PIL import Image

from featpurity.report import atlas
from featpurity.report.chapters import neurons as show
from featpurity.report.thumbnails import Thumbnails

D, PICTURES, MODELS = 6, 9, ("CLIP", "LaCLIP")


class Pictures:
    """Pictures of one colour each."""

    def __init__(self, hostile):
        self.classes, self.labels = ["star", hostile], np.arange(PICTURES) % 2

    def __getitem__(self, i):
        noise = np.asarray(Image.effect_noise((48, 48), 90).convert("RGB"))
        return Image.fromarray(noise // 2 + np.uint8(10 * i)), int(self.labels[i])


def found(hostile):
    """Two models of six neurons; neuron i of each has rank i + 1."""
    frame = pd.DataFrame([dict(model=model, neuron=i) for model in MODELS for i in range(D)])
    frame = frame.assign(rank=frame.neuron + 1, mean_abs_cos=0.1 + 0.01 * frame.neuron)
    key = frame[["model", "neuron"]]
    for tower in ("image", "text"):
        frame[f"{tower}_nearest"] = (frame.neuron + 1) % D
        frame[f"{tower}_cos"] = -0.25
        frame[f"{tower}_mean_abs_cos"] = frame.mean_abs_cos
        frame[f"{tower}_chance"] = 0.12
    frame = frame.assign(dataset="shape", best_class=hostile, contrast=2.5)
    profiles = [key.assign(dataset="shape", class_name=hostile, contrast=2.5)]
    profiles.append(key.assign(dataset="shape", class_name="star", contrast=-1.25))
    places = {model: torch.arange(2 * D).reshape(D, 2) % PICTURES for model in MODELS}
    return SimpleNamespace(
        neurons=frame,
        profiles=pd.concat(profiles),
        captions=key.assign(caption=f"a picture of {hostile}", value=0.5),
        strongest=places,
        weakest={model: one.flip(0) for model, one in places.items()},
    )


def maps(hostile):
    """Nine pictures in two planes."""
    rows = dict(image=range(PICTURES), x=np.arange(PICTURES) / 10.0, y=0.5)
    points = pd.concat([pd.DataFrame(rows).assign(plane=name) for name in ("all", hostile)])
    classes = pd.DataFrame(dict(dataset="shape", image=range(PICTURES)))
    classes["class_name"] = ["star", hostile, "disk"] * 3
    separation = pd.DataFrame(dict(plane=["all", hostile], dataset="shape", silhouette=0.1))
    separation["shown"] = 0.2
    return SimpleNamespace(points=points, classes=classes, separation=separation)


def parts(hostile):
    """The figures and the pieces of HTML of the atlas."""
    known, where, pictures = found(hostile), maps(hostile), Thumbnails(Pictures(hostile))
    sheet = pictures.sheet(where.points.image)
    figures = [
        show.map_of_neurons(known.neurons),
        show.maps(where, sheet, "CLIP", list(where.classes.dataset.unique())),
    ]
    classes = {"shape": ["star", hostile]}
    shown = [atlas.glance(known, pictures), atlas.atlas(known, pictures, classes), sheet]
    return figures, [one._repr_html_() for one in shown]
