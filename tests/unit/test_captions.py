"""Swapped captions: the definition, written out plainly, against the quick way, and rules for odd input."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from featpurity import load_pairs
from featpurity.captions import swap
from featpurity.captions.files import read_captions
from featpurity.captions.nearest import similar_captions, tfidf
from featpurity.captions.swap import nested_swaps, swap_captions, swap_pairs, write_swaps

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))
import fingerprint  # noqa: E402


def plain_swap(captions, ratio, seed=42, top_k=10):
    """The definition word for word: no stored lists, every similarity computed and sorted at every visit."""
    words = TfidfVectorizer(
        preprocessor=lambda text: "".join(c for c in text.lower() if c.isalnum() or c.isspace()),
        stop_words="english",
        ngram_range=(1, 2),
        max_features=5000,
        min_df=2,
        max_df=0.95,
    )
    vectors = words.fit_transform(captions).toarray()
    rng = np.random.default_rng(seed)
    unused, pairs, similarities = np.ones(len(captions), bool), [], []
    for i in rng.permutation(len(captions)):
        if 2 * len(pairs) >= ratio * len(captions):
            break
        if not unused[i] or unused.sum() < 2:
            continue
        unused[i] = False
        others = np.flatnonzero(unused)
        similarity = np.round(vectors[others] @ vectors[i], 10)
        nearest = others[np.argsort(-similarity, kind="stable")[:top_k]]
        j = nearest[rng.integers(len(nearest))]
        unused[j] = False
        pairs.append((i, j))
        similarities.append(vectors[i] @ vectors[j])
    return np.array(pairs), np.array(similarities)


def generated(n, seed=0):
    """Captions of a small world: many duplicates and near duplicates, some without any known word."""
    rng = np.random.default_rng(seed)
    colours, shapes = (
        ["red", "green", "blue", "grey"],
        ["circle", "square", "star", "ring", "cross"],
    )
    templates = ["a {} {}", "photo of a {} {} on wood", "{1}", "", "the and of", "A {}-{}, large!"]
    return [rng.choice(templates).format(rng.choice(colours), rng.choice(shapes)) for _ in range(n)]


def test_equals_the_plain_way_on_real_captions(shared):
    captions = read_captions(shared / "data" / "flickr8k_captions.txt")[:2000]
    pairs, similarity = swap_pairs(captions, 0.8)
    plain_pairs, plain_similarity = plain_swap(captions, 0.8)
    assert np.array_equal(pairs, plain_pairs) and np.allclose(
        similarity, plain_similarity, atol=1e-12
    )
    assert len(pairs) == 800


@pytest.mark.parametrize("listed", [64, 3])
def test_equals_the_plain_way_on_near_duplicates(monkeypatch, listed):
    monkeypatch.setattr(swap, "LISTED", listed)
    captions = generated(700)
    pairs, similarity = swap_pairs(captions, 1.0, top_k=5)
    plain_pairs, plain_similarity = plain_swap(captions, 1.0, top_k=5)
    assert np.array_equal(pairs, plain_pairs) and np.allclose(
        similarity, plain_similarity, atol=1e-12
    )


@pytest.mark.parametrize("listed", [1, 5])
def test_lists_shorter_than_the_choice_change_nothing(listed):
    captions = generated(700)
    short = similar_captions(tfidf(captions), listed)
    assert np.array_equal(
        swap_pairs(captions, 1.0, neighbours=short)[0], plain_swap(captions, 1.0)[0]
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 60), st.floats(0, 1), st.integers(0, 5), st.sampled_from(swap.KINDS))
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
    assert np.array_equal(whole.toarray(), sparse.vstack(parts).toarray())
    assert np.array_equal(
        swap_pairs(captions, 0.9, neighbours=sparse.vstack(parts).tocsr())[0],
        swap_pairs(captions, 0.9)[0],
    )


def test_walks_are_nested_and_seeded():
    captions = generated(200)
    for kind in swap.KINDS:
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
        and pairs.similarity.mean() > 0.2
    )
    assert (
        summaries[1]["achieved_ratio"] == 28 / 92
        and sum(summaries[1]["similarity_histogram"]) == 14
    )
    assert read_captions(tmp_path / "out" / "X_Cs0_similarity_simple.txt") == captions
    assert (tmp_path / "out" / "X_Cs12.5_similarity_simple.txt").is_file()
    assert not list(tmp_path.glob("out/*.part"))


def test_the_files_are_what_the_first_seed_trains_on(tmp_path):
    """The step that trains draws its swaps itself, with seed 42 + 0 for the first; the files must not differ from them."""
    captions = generated(120)
    (tmp_path / "X.txt").write_text("".join(f"{caption}\n" for caption in captions))
    source = "".join(fingerprint.code_cells(ROOT / "notebooks/steps/finetune.ipynb"))
    assert "nested_swaps(captioned.best_captions, ratios, kind, seed=42 + seed" in source
    for kind in swap.KINDS:
        write_swaps(tmp_path / "X.txt", [0.3, 0.8], kind)
        for ratio, perm in zip((0.3, 0.8), nested_swaps(captions, [0.3, 0.8], kind, seed=42 + 0)):
            assert read_captions(tmp_path / f"X_Cs{100 * ratio:g}_{kind}_simple.txt") == [
                captions[i] for i in perm
            ]


def test_csv(tmp_path):
    table = tmp_path / "pairs.csv"
    pd.DataFrame(
        {"image": ["a.jpg", "b.jpg"], "caption": ["NA", "two\nlines, one caption"]}
    ).to_csv(table)
    assert read_captions(table) == ["NA", "two lines, one caption"]
    table.write_text("image,text\na.jpg,red\n")
    with pytest.raises(ValueError, match="expected a column 'caption'"):
        read_captions(table)


@pytest.mark.parametrize(
    "content",
    ["caption\n\nred star\n\n\nblue star\n\n", "caption,image\n\nred star,1\n,\n\nblue star\n\n"],
)
def test_blank_lines_of_a_csv_are_blank_captions(tmp_path, content):
    (tmp_path / "X.csv").write_text(content)
    assert read_captions(tmp_path / "X.csv") == ["", "red star", "", "", "blue star", ""]


def test_a_summary_is_json_where_captions_share_no_word(tmp_path):
    (tmp_path / "X.txt").write_text("red\nblue\nstar\nring\n")
    write_swaps(tmp_path / "X.txt", [0.0, 1.0], "random")
    for ratio in (0, 100):
        text = (tmp_path / f"X_Cs{ratio}_random_simple.json").read_text()
        summary = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert summary["mean_similarity"] is None and summary["similarity_histogram"] == [0] * 10


def test_the_chapter_reads_the_captions_of_its_own_run(tmp_path):
    captions = tmp_path / "captions/scenes.txt"
    captions.parent.mkdir()
    captions.write_text(
        "".join(f"{caption}\n" for caption in load_pairs("scenes", n_pairs=40).best_captions)
    )
    captions.with_name("others.txt").write_text(captions.read_text())
    for kind in swap.KINDS:
        write_swaps(captions, [0.8, 0.1, 0.4], kind)  # of which 0.4 is an earlier run's
    write_swaps(captions.with_name("others.txt"), [0.1], "random")
    settings, cell, *_ = fingerprint.code_cells(ROOT / "notebooks/03_misalignment.ipynb")
    names = {}
    exec(settings, names)
    names |= {"n_pairs": 40, "ratios": [0.1, 0.8], "results_dir": tmp_path}
    exec(cell, names)
    assert [(one["kind"], one["ratio"]) for one in names["summaries"]] == [
        ("similarity", 0.1),
        ("similarity", 0.8),
        ("random", 0.1),
        ("random", 0.8),
    ]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"red star\ncaf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
        (b"", "holds no caption"),
        (b"\n \n", "holds no caption"),
    ],
)
def test_unreadable_files(tmp_path, content, message):
    (tmp_path / "X.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_captions(tmp_path / "X.txt")


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
