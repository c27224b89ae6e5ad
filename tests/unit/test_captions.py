"""Swapped captions: the definition, written out plainly, against the quick way, and rules for odd input."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_swaps import generated, plain_swap, plain_vectors
from scipy import sparse

from featpurity.captions import nearest
from featpurity.captions.files import read_captions
from featpurity.captions.nearest import Nearest, similar_captions, tfidf
from featpurity.captions.swap import (
    Run,
    nested_swaps,
    read_swapped_pairs,
    read_swaps,
    swap_captions,
    swap_seed,
    write_swaps,
)
from featpurity.captions.walk import KINDS, swap_pairs

ODD = [
    "Tug-o-war in the mud!",
    "a tug of war: mud everywhere",
    "the dog's ball",
    "Dogs don't play ball",
    "file_name and file name",
    "file_name, in_the mud",
    "caf\u00e9-bar\u2019s d\u00e9j\u00e0 vu",
    "the caf\u00e9 bar, vu de loin",
    "ball/mud ball+mud e-mail",
    "e mail \u2014 MUD\tball",
]


def assert_equal_vectors(captions):
    assert abs(tfidf(captions) - plain_vectors(captions)).max() < 1e-6


def test_vectors_equal_the_plain_pipeline_on_hyphens_apostrophes_and_underscores():
    assert_equal_vectors(ODD)
    cosines = np.triu(tfidf(ODD).toarray() @ tfidf(ODD).toarray().T, 1)
    assert cosines[0, 1] > 0.5 and cosines[4, 5] > 0.3  # tug, war; file_name as one word
    assert cosines[6, 7] > 0.5  # letters beyond ASCII are letters


def test_vectors_equal_the_plain_pipeline_on_real_captions(shared):
    assert_equal_vectors(read_captions(shared / "data" / "flickr8k_captions.txt")[::5])


def test_equals_the_plain_way_on_real_captions(shared):
    captions = read_captions(shared / "data" / "flickr8k_captions.txt")[:1000]
    pairs, similarity = swap_pairs(captions, 0.8)
    plain_pairs, plain_similarity = plain_swap(captions, 0.8)
    assert np.array_equal(pairs, plain_pairs) and np.allclose(
        similarity, plain_similarity, atol=1e-12
    )
    assert len(pairs) == 400


@pytest.mark.parametrize("listed", [64, 3])
def test_equals_the_plain_way_on_near_duplicates(monkeypatch, listed):
    monkeypatch.setattr(nearest, "LISTED", listed)
    captions = generated(700)
    pairs, similarity = swap_pairs(captions, 1.0, top_k=5)
    plain_pairs, plain_similarity = plain_swap(captions, 1.0, top_k=5)
    assert np.array_equal(pairs, plain_pairs) and np.allclose(
        similarity, plain_similarity, atol=1e-12
    )


@pytest.mark.parametrize("listed", [1, 5])
def test_lists_shorter_than_the_choice_change_nothing(listed):
    captions = generated(700)
    vectors = tfidf(captions)
    short = Nearest(vectors, similar_captions(vectors, listed))
    pairs, _ = swap_pairs(captions, 1.0, nearest=short)
    assert np.array_equal(pairs, plain_swap(captions, 1.0)[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 60), st.floats(0, 1), st.integers(0, 5), st.sampled_from([*KINDS]))
def test_a_swap_is_made_of_exchanges(n, ratio, seed, kind):
    captions = generated(n, seed) + ["red star", "red star", "blue circle", "blue circle"]
    new, perm = swap_captions(captions, ratio, kind, seed)
    moved = np.count_nonzero(perm != np.arange(len(perm)))
    assert np.array_equal(perm[perm], np.arange(len(perm)))
    assert new == [captions[i] for i in perm]
    assert min(ratio * len(captions), len(captions) - 1) - 1e-6 <= moved < ratio * len(captions) + 2


def test_parts_stack_to_the_whole():
    captions = generated(300)
    vectors = tfidf(captions)
    whole = similar_captions(vectors, 20)
    parts = [similar_captions(vectors, 20, rows) for rows in np.array_split(np.arange(300), 4)]
    stacked = sparse.vstack(parts, format="csr")
    assert np.array_equal(whole.toarray(), stacked.toarray())
    pairs, _ = swap_pairs(captions, 0.9, nearest=Nearest(vectors, stacked))
    assert np.array_equal(pairs, swap_pairs(captions, 0.9)[0])


def test_walks_are_nested_and_seeded():
    captions = generated(200)
    for kind in KINDS:
        short, long = (swap_pairs(captions, ratio, kind)[0] for ratio in (0.1, 0.8))
        assert np.array_equal(short, long[: len(short)])
        perms = nested_swaps(captions, [0.1, 0.8], kind)
        assert [
            np.array_equal(perm, swap_captions(captions, ratio, kind)[1])
            for perm, ratio in zip(perms, (0.1, 0.8))
        ] == [True] * 2
        assert not np.array_equal(long, swap_pairs(captions, 0.8, kind, seed=7)[0])


def test_similar_partners_are_nearer_than_random_ones():
    captions = generated(400)
    assert swap_pairs(captions, 0.5)[1].mean() > swap_pairs(captions, 0.5, "random")[1].mean() + 0.2


def test_files(tmp_path):
    captions = generated(90) + ["caf\u00e9 \u2028 red star", " red star "]
    source = tmp_path / "X.txt"
    source.write_bytes("\r\n".join(captions).encode("utf-8-sig"))
    assert read_captions(source) == captions
    summaries = write_swaps(source, [0.0, 0.3, 0.125], out_dir=tmp_path / "out")
    pairs = pd.read_csv(tmp_path / "out" / "X_Cs30_similarity_simple.csv")
    written = read_captions(tmp_path / "out" / "X_Cs30_similarity_simple.txt")
    assert list(pairs) == ["i", "j", "similarity"] and len(pairs) == 14
    assert written == swap_captions(captions, 0.3)[0]
    assert (
        json.loads((tmp_path / "out" / "X_Cs30_similarity_simple.json").read_text()) == summaries[1]
    )
    assert (
        summaries[1]["mean_similarity"] == pytest.approx(pairs.similarity.mean(), abs=1e-6)
        and pairs.similarity.mean() > 0.1
    )
    assert (
        summaries[1]["achieved_ratio"] == 28 / 92
        and sum(summaries[1]["similarity_histogram"]) == 14
    )
    assert read_captions(tmp_path / "out" / "X_Cs0_similarity_simple.txt") == captions
    assert (tmp_path / "out" / "X_Cs12.5_similarity_simple.txt").is_file()
    assert not list(tmp_path.glob("out/*.part"))


def test_a_summary_is_json_where_captions_share_no_word(tmp_path):
    (tmp_path / "X.txt").write_text("red\nblue\nstar\nring\n")
    write_swaps(tmp_path / "X.txt", [0.0, 1.0], ["random"])
    for ratio in (0, 100):
        text = (tmp_path / f"X_Cs{ratio}_random_simple.json").read_text()
        summary = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert summary["mean_similarity"] is None and summary["similarity_histogram"] == [0] * 10


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((["red star"] * 9, 1.5), "ratio"),
        ((["red star"] * 9, float("nan")), "ratio"),
        ((["red star"] * 9, 0.5, "nearest"), "similarity, random"),
        ((["red star"], 0.5), "at least 2"),
        (("red star", 0.5), "a list of captions"),
        (([1, 2, 3], 0.5), "each a str"),
        ((["a", "of", "the", "by"], 0.5), "cannot be compared"),
        ((["red", "blue", "star", "ring"], 0.5), "cannot be compared"),
    ],
)
def test_wrong_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        swap_captions(*arguments)


def test_random_swaps_need_no_words():
    pairs, similarity = swap_pairs(["red", "blue", "star", "ring"], 1.0, "random")
    assert sorted(pairs.ravel()) == [0, 1, 2, 3] and np.isnan(similarity).all()


def five_a_picture(n):
    """Five captions of each of n pictures that differ in their first words."""
    starts = ["a", "one", "some", "the very", "this one"]
    rng = np.random.default_rng(0)
    things = [
        f"{rng.choice(['red', 'blue'])} {rng.choice(['dog', 'cat', 'car'])} {i % 4}0"
        for i in range(n)
    ]
    return [f"{start} {thing}" for thing in things for start in starts], np.repeat(np.arange(n), 5)


@pytest.mark.parametrize("listed", [64, 4])
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_captions_of_one_image_are_no_partners(monkeypatch, listed, ratio):
    monkeypatch.setattr(nearest, "LISTED", listed)
    captions, images = five_a_picture(40)
    pairs, similarity = swap_pairs(captions, ratio, images=images)
    plain, plain_similarity = plain_swap(captions, ratio, images=images)
    assert np.array_equal(pairs, plain) and np.allclose(similarity, plain_similarity, atol=1e-12)
    assert (images[pairs[:, 0]] != images[pairs[:, 1]]).all()
    alone = images[swap_pairs(captions, ratio)[0]]
    assert (alone[:, 0] == alone[:, 1]).any()  # what it would be without their names


def test_images_that_are_all_different_change_nothing():
    captions = generated(200)
    names = [f"{i}.jpg" for i in range(200)]
    assert np.array_equal(swap_pairs(captions, 0.8, images=names)[0], swap_pairs(captions, 0.8)[0])


def test_a_walk_ends_where_all_captions_left_are_of_one_image():
    captions, images = ["red star", "red ring", "blue star", "blue ring"], ["a", "a", "a", "b"]
    assert len(swap_pairs(captions, 1.0, images=images)[0]) == 1
    with pytest.raises(ValueError, match="images: expected one for each of the 4 captions, got 3"):
        swap_pairs(captions, 1.0, images=images[:3])


def test_a_table_that_names_images_is_swapped_between_them(tmp_path):
    captions, images = five_a_picture(30)
    table = pd.DataFrame({"image": [f"{i}.jpg" for i in images], "caption": captions})
    table.to_csv(tmp_path / "captions.txt", index=False)
    (named,) = write_swaps(tmp_path / "captions.txt", [0.4], out_dir=tmp_path / "out")
    (tmp_path / "bare.txt").write_text("\n".join(captions))
    (bare,) = write_swaps(tmp_path / "bare.txt", [0.4])
    assert named["within_image"] == 0 and bare["within_image"] is None
    perm = read_swaps(tmp_path / "out/captions.txt", "similarity", 0.4)
    assert (images[perm] != images)[perm != np.arange(150)].all()
    assert named["changed_texts"] == np.mean(
        [captions[i] != caption for i, caption in zip(perm, captions)]
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("captions") / "scenes.txt"
    path.write_text("".join(f"{caption}\n" for caption in generated(120)))
    write_swaps(path, [0.0, 0.3, 0.8], KINDS, [swap_seed(seed) for seed in (0, 1)])
    return path


class TestRuns:
    """Swaps are written once for every run of a sweep, and read by its name."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("seed", [0, 1])
    def test_what_is_read_is_the_walk_of_its_seed(self, source, kind, seed):
        wanted = nested_swaps(read_captions(source), [0.0, 0.3, 0.8], kind, seed=42 + seed)
        for ratio, perm in zip([0.0, 0.3, 0.8], wanted):
            assert np.array_equal(read_swaps(source, kind, ratio, swap_seed(seed)), perm)
        pairs, summary = read_swapped_pairs(source, kind, 0.8, swap_seed(seed))
        assert summary["seed"] == 42 + seed and list(pairs) == ["i", "j", "similarity"]
        assert np.array_equal(wanted[2][pairs.i], pairs.j)

    def test_seeds_lie_side_by_side(self, source):
        names = {path.name for path in source.parent.glob("*_Cs30_random_*.txt")}
        assert names == {"scenes_Cs30_random_simple.txt", "scenes_Cs30_random_simple_seed43.txt"}
        assert Run("random", 0.125, 1).name == "random_Cs12.5_seed1"

    def test_what_was_not_written_is_told(self, source):
        with pytest.raises(
            FileNotFoundError, match="scenes_Cs50_random_simple.csv: run .*steps/swap"
        ):
            read_swaps(source, "random", 0.5)

    def test_pairs_that_do_not_fit_their_summary_are_told(self, source, tmp_path):
        for path in source.parent.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        pairs = tmp_path / "scenes_Cs80_random_simple.csv"
        lines = pairs.read_text().splitlines()
        for spoilt, message in [
            (lines[:-1], "holds other pairs than"),
            ([*lines[:-1], lines[-2]], "holds other pairs than"),
            (
                [*lines[:-1], f"{lines[-1].split(',')[0]},120,0.5"],
                "expected captions 0 .. 119, got 120",
            ),
        ]:
            pairs.write_text("\n".join(spoilt))
            with pytest.raises(ValueError, match=message):
                read_swaps(tmp_path / "scenes.txt", "random", 0.8)
