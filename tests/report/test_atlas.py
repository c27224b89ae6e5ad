"""The atlas of neurons: an address for each, all of its data as text, figures that say what they show."""

import base64
import json
import zlib
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image

from featpurity.experiments import embedding_maps
from featpurity.report import atlas, style
from featpurity.report.chapters import neurons as show
from featpurity.report.chapters import what_cos_measures
from featpurity.report.thumbnails import Thumbnails

HOSTILE = """<img src=x onerror="alert('1')">"""


class Pictures:
    classes, labels = ["star", HOSTILE], torch.tensor([0, 1, 0, 1, 0, 1])

    def __getitem__(self, i):
        return Image.new("RGB", (12, 8), (40 * i, 0, 0)), int(self.labels[i])


def table(model, ranks):
    d = len(ranks)
    near = dict(image_nearest=[(i + 1) % d for i in range(d)], image_cos=0.3)
    near |= dict(text_nearest=[(i - 1) % d for i in range(d)], text_cos=-0.1)
    level = dict(image_mean_abs_cos=0.1, text_mean_abs_cos=0.2, image_chance=0.1, text_chance=0.1)
    reads = dict(dataset="shape", best_class=HOSTILE, contrast=1.5)
    return pd.DataFrame(
        dict(model=model, neuron=range(d), rank=ranks, mean_abs_cos=0.15, **near, **level, **reads)
    )


@pytest.fixture
def found():
    """Two models of three neurons."""
    frame = pd.concat([table("CLIP", [2, 1, 3]), table("La CLIP", [1, 2, 3])], ignore_index=True)
    key = frame[["model", "neuron"]]
    profiles = pd.concat(
        [
            key.assign(dataset="shape", class_name=HOSTILE, contrast=1.5),
            key.assign(dataset="shape", class_name="star", contrast=-0.5),
        ]
    )
    places = {name: torch.tensor([[0, 1], [2, 1], [4, 5]]) for name in ("CLIP", "La CLIP")}
    weakest = {name: torch.tensor([[5, 4], [3, 2], [1, 0]]) for name in places}
    return SimpleNamespace(
        neurons=frame,
        profiles=profiles,
        captions=key.assign(caption=f"a {HOSTILE}", value=0.25),
        strongest=places,
        weakest=weakest,
    )


def page(made):
    return BeautifulSoup(made._repr_html_(), "html.parser")


def test_every_neuron_has_an_address_and_all_of_its_data(found):
    read = page(atlas.atlas(found, Thumbnails(Pictures()), {"shape": ["star", HOSTILE]}))
    rows = read.select("tbody tr")
    assert [row["id"] for row in rows] == [
        *("neuron-1", "neuron-0", "neuron-2"),
        *("neuron-0-la-clip", "neuron-1-la-clip", "neuron-2-la-clip"),
    ]
    packed = base64.b64decode(read.select_one(".neuron-atlas")["data-deflated"])
    classes, neurons = json.loads(zlib.decompress(packed))
    told = neurons[0]
    assert told["model"] == "CLIP" and told["neuron"] == 1 and told["rank"] == 1
    assert told["reads"] == f"high for {HOSTILE} (shape)"
    assert told["of"] == 3 and told["nearest"] == {"image": [2, 0.3], "text": [0, -0.1]}
    assert told["strongest"] == [2, 1] and told["weakest"] == [3, 2]
    assert [classes[number] for number, _ in told["profile"]] == [
        [HOSTILE, "shape"],
        ["star", "shape"],
    ]
    assert [value for _, value in told["profile"]] == [1.5, -0.5]
    assert read.find(id=told["sheet"])["data-labels"] == "0 1 0 1 0 1"
    assert told["captions"] == [[f"a {HOSTILE}", 0.25]]
    links = [link["href"] for link in rows[4].select("a")]
    assert links == ["#neuron-2-la-clip", "#neuron-0-la-clip"]


def test_words_of_the_data_are_text(found):
    pictures, classes = Thumbnails(Pictures()), {"shape": ["star", HOSTILE]}
    for made in (atlas.atlas(found, pictures, classes), atlas.glance(found, pictures)):
        read = page(made)
        assert all(picture["src"].startswith("data:image/webp") for picture in read.select("img"))
        assert HOSTILE in read.get_text()


def test_a_class_that_stands_out_downwards_is_told_as_low(found):
    down = found.neurons.iloc[0].replace({HOSTILE: "hourglass"})
    assert atlas.reads(down) == "high for hourglass (shape)"
    assert atlas.reads(down.replace({1.5: -1.35})) == "low for hourglass (shape)"
    found.neurons.loc[0, "contrast"] = -1.35  # CLIP's neuron 0, its second by purity
    told = [one["alt"] for one in page(atlas.glance(found, Thumbnails(Pictures()))).select("img")]
    assert "largest values of neuron 1 of CLIP" in told[0]
    assert "smallest values of neuron 0 of CLIP" in told[1]


def test_labels_that_read_alike_have_addresses_of_their_own(found):
    frame = pd.concat([table(name, [1]) for name in ("A", "b c", "B-C", "!")])
    assert list(atlas.addresses(frame).values()) == [
        *("neuron-0", "neuron-0-b-c", "neuron-0-b-c-3", "neuron-0-model")
    ]


def test_of_too_many_neurons_the_ends_are_shown_and_a_link_never_leads_nowhere(found):
    few = atlas.on_the_page(found.neurons, most=4)
    assert few.groupby("model")["rank"].apply(list).to_dict() == {"CLIP": [1, 3], "La CLIP": [1, 3]}
    whole = atlas.on_the_page(found.neurons)
    assert len(whole) == 6


def test_the_map_of_neurons_opens_them_and_shows_chance(found):
    figure = show.map_of_neurons(found.neurons)
    assert figure.layout.meta["opens"] == "address"
    chance = [trace for trace in figure.data if trace.name == "chance"]
    assert [list(trace.customdata) for trace in figure.data if trace not in chance] == [
        ["neuron-0", "neuron-1", "neuron-2"],
        ["neuron-0-la-clip", "neuron-1-la-clip", "neuron-2-la-clip"],
    ]
    assert len(chance) == 4 and chance[0].x == (0.1, 0.1)


def test_maps_of_pictures_name_the_places_on_the_sheet_and_say_what_they_hold(found):
    neurons = found
    points = pd.DataFrame(
        dict(plane=["all"] * 3 + ["few"] * 3, image=[0, 2, 5] * 2, x=[0.0, 1, 2, 0, 2, 4], y=0.5)
    )
    classes = pd.concat(
        [
            pd.DataFrame(dict(dataset=name, image=[0, 2, 5], class_name=["a", "b", kind]))
            for name, kind in (("shape", "a"), ("colour", "c"))
        ]
    )
    rows = dict(plane="all", dataset=["colour", "shape"], silhouette=[0.1, 0.3], shown=0.2)
    separation = pd.concat([pd.DataFrame(rows), pd.DataFrame(rows | dict(plane="few", shown=0.5))])
    found = SimpleNamespace(points=points, classes=classes, separation=separation)
    sheet = Thumbnails(Pictures(), side=8).sheet([0, 2, 5])
    figure = show.maps(found, sheet, "of toys", ["shape", "colour"])
    assert figure.layout.meta["sheet"] == sheet.name
    assert figure.layout.meta["caption"].startswith("of toys: 3 pictures")
    assert (
        "The plane holds 20 % (all) and 50 % (few) of the variance" in figure.layout.meta["caption"]
    )
    assert "against the first, goes from 1 (all) to 2.00 (few)" in figure.layout.meta["caption"]
    said = show.answer(neurons.neurons, {"of toys": found})
    assert said.endswith("pictures spread on their maps: of toys from 1 (all) to 2.00 (few)")
    assert [trace.name for trace in figure.data] == ["a", "b"] * 2 + ["a", "b", "c"] * 2
    first = figure.data[0]
    assert list(first.customdata) == [0, 2] and list(first.x) == [0, 2]
    shown = [button.args[0]["visible"] for button in figure.layout.updatemenus[0].buttons]
    assert shown == [[True] * 4 + [False] * 6, [False] * 4 + [True] * 6]
    other = separation[separation.plane == "all"].assign(silhouette=[0.9, 0.2])
    both = [found, SimpleNamespace(points=points, separation=other)]
    assert embedding_maps.by_separation(both) == ["colour", "shape"]


def test_classes_that_are_named_by_their_colour_have_it():
    marks = show._marks(["red", "white", show.OTHERS])
    assert marks["red"]["color"] == style.OWN_COLOURS["red"]
    assert show._marks(["red", "wolf"])["red"]["color"] in style.PALETTE


def test_models_that_no_page_is_wide_enough_for_stand_two_by_two(found):
    names = [f"model {i}" for i in range(13)]
    many = pd.concat([found.neurons.iloc[:3].assign(model=name) for name in names])
    drawn = torch.rand(13, 50, generator=torch.Generator().manual_seed(0))
    values = {(name, kind): part for name, part in zip(names, drawn) for kind in show.KINDS}
    own = many.assign(basis="own", purity=-many.image_mean_abs_cos, knows="shape", information=0.1)
    areas = pd.DataFrame(dict(model=names, order="purity", area=0.5, reversed=0.4))
    for figure in (
        show.map_of_neurons(many),
        show.cosines(SimpleNamespace(values=values)),
        what_cos_measures.orders(areas),
        what_cos_measures.neurons(own, "information"),
    ):
        (menu,) = figure.layout.updatemenus
        assert [button.label for button in menu.buttons[::6]] == ["model 0 and model 1", "model 12"]
        shown = [trace for trace in figure.data if trace.visible]
        assert {trace.xaxis for trace in shown} == {"x", "x2"}
        named = [trace.name for trace in shown if trace.showlegend is not False]
        assert len(named) == len(set(named)) > 0


def test_at_a_glance_a_page_shows_the_first_pair_of_many_models(found):
    names = [f"model {i}" for i in range(4)]
    many = pd.concat([found.neurons.iloc[:3].assign(model=name) for name in names])
    places = dict.fromkeys(names, next(iter(found.strongest.values())))
    seen = SimpleNamespace(neurons=many, strongest=places)
    shown = atlas.glance(seen, Thumbnails(Pictures(), side=8), [("model 1", "model 3")])
    assert set(shown.frame.model) == {"model 1", "model 3"}


def test_of_many_models_the_answer_counts_models(found):
    many = [found.neurons.assign(model=f"model {i}", rank=[1, 2, 3] * 2) for i in range(4)]
    many = pd.concat([part.iloc[:3] for part in many])
    many["best_class"] = ["ring", "ring", "star"] * 3 + ["star", "star", "ring"]
    many["dataset"] = "shape"
    said = show.answer(many, {})
    assert said.startswith("of 4 models, ") and "of all neurons ring (3)" in said
    assert "of the purest eighth ring (3)" in said
    assert "of the least pure eighth star (3)" in said


def test_of_many_classes_the_commonest_have_a_mark_and_the_others_share_one():
    n = 40
    points = pd.DataFrame(dict(plane="all", image=range(n), x=range(n), y=0.0))
    points = pd.concat([points, points.assign(plane="few")])
    names = ["common"] * 10 + [f"class {i}" for i in range(n - 10)]
    classes = pd.DataFrame(dict(dataset="many", image=range(n), class_name=names))
    sheet = SimpleNamespace(name="sheet", places={i: i for i in range(n)})
    separation = pd.DataFrame(dict(plane=["all", "few"], dataset="many", silhouette=0.1, shown=0.2))
    found = SimpleNamespace(points=points, classes=classes, separation=separation)
    figure = show.maps(found, sheet, "toys", ["many"])
    drawn = [trace for trace in figure.data if trace.showlegend]
    assert len(drawn) == show.MOST_CLASSES + 1 and drawn[-1].name == "other classes"
    assert sum(len(trace.x) for trace in drawn) == n
    assert len({(trace.marker.color, trace.marker.symbol) for trace in drawn}) == len(drawn)


def test_cosines_are_drawn_as_shares_with_their_means():
    draw = torch.Generator().manual_seed(0)
    kinds = list(show.KINDS)
    values = {("CLIP", kind): torch.rand(50, generator=draw) for kind in kinds}
    figure = show.cosines(SimpleNamespace(values=values))
    shares, means = figure.data[::2], figure.data[1::2]
    assert [sum(trace.y) for trace in shares] == pytest.approx([1, 1, 1])
    for trace, (_, kind) in zip(means, values):
        assert trace.name == f"{kind}, mean"
        assert trace.x == pytest.approx([values["CLIP", kind].mean().item()] * 2)


def test_the_answer_counts_what_neurons_read_best(found):
    one = found.neurons.assign(best_class=["ring", "star", "ring"] * 2)
    assert "of CLIP's 3 neurons 2 read ring first, more than anything else" in show.answer(one, {})
    several = one.assign(dataset=["shape", "shape", "size"] * 2)
    assert "of CLIP's 3 neurons 2 read shape first" in show.answer(several, {})
    ordered = show.map_of_neurons(several, datasets=["size", "shape"]).data
    assert {trace.name: trace.legendrank for trace in ordered}["size"] == 1
    for table, read in ((one, {"ring", "star"}), (several, {"shape", "size"})):
        assert {trace.name for trace in show.map_of_neurons(table).data} == read | {"chance"}
