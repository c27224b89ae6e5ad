"""Nearest captions in shards and by blocks on a device: the same as in one piece, and a clear error when they cannot be."""

import json

import numpy as np
import pytest
from checkout import ROOT
from plain_swaps import generated, plain_swap
from scipy import sparse

from featpurity.captions import nearest, nearest_shards
from featpurity.captions.files import read_captions
from featpurity.captions.nearest import similar_captions, tfidf
from featpurity.captions.nearest_blocks import ROWS, similar_captions_by_blocks
from featpurity.captions.nearest_shards import load_shards, write_shard, write_vectors
from featpurity.captions.swap import write_swaps
from featpurity.captions.walk import swap_pairs

REAL = ROOT.parent / "shared/data/flickr8k_captions.txt"


@pytest.fixture(scope="module")
def captions():
    """Real captions where there are some, beside generated ones with their many ties and blank lines."""
    return (read_captions(REAL)[:2000] if REAL.is_file() else generated(2000, seed=1)) + generated(
        300
    )


def same(found, expected):
    assert np.array_equal(found.indptr, expected.indptr) and np.array_equal(
        found.indices, expected.indices
    )


@pytest.fixture(scope="module")
def shards(captions, tmp_path_factory):
    folder = tmp_path_factory.mktemp("neighbours")
    write_vectors(folder, captions)
    for shard in (2, 0, 1):
        write_shard(folder, shard, 3, device="cpu")
    return folder


@pytest.fixture
def spoilt(shards, tmp_path):
    """A function that changes what a shard says about itself, in a copy of the folder."""
    for path in shards.glob("*.npz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())

    def change(shard, **changed):
        path = tmp_path / f"{shard}_of_3.npz"
        content = dict(np.load(path))
        about = json.loads(str(content["about"])) | changed
        np.savez(path, **content | {"about": json.dumps(about)})

    change.folder = tmp_path
    return change


def test_merged_shards_are_the_lists_of_one_piece(captions, shards):
    assert sorted(path.name for path in shards.iterdir()) == [
        "0_of_3.npz",
        "1_of_3.npz",
        "2_of_3.npz",
        "vectors.npz",
    ]
    vectors = tfidf(captions)
    whole, merged = similar_captions(vectors), load_shards(shards, captions, 3)
    same(merged.neighbours, whole)
    assert np.array_equal(merged.neighbours.data, whole.data)
    assert (merged.vectors != vectors).nnz == 0
    assert load_shards(shards, captions, 1) is None


def test_swapped_files_are_the_same_to_the_byte(captions, shards, tmp_path):
    source = tmp_path / "X.txt"
    source.write_text("".join(f"{caption}\n" for caption in captions))
    write_swaps(source, [0.3, 0.8], out_dir=tmp_path / "one")
    write_swaps(
        source, [0.3, 0.8], out_dir=tmp_path / "three", nearest=load_shards(shards, captions, 3)
    )
    one_shard, three = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "three")
    )
    assert one_shard == three and len(one_shard) == 6


@pytest.mark.parametrize("at_once", [None, 300 * ROWS])
def test_blocks_on_a_device_find_the_same(captions, at_once):
    vectors = tfidf(captions)
    same(
        similar_captions_by_blocks(vectors, device="cpu", at_once=at_once),
        similar_captions(vectors),
    )
    rows = np.arange(700, 2100)
    same(
        similar_captions_by_blocks(vectors, 5, rows, "cpu", at_once),
        similar_captions(vectors, 5, rows),
    )


def test_ties_between_blocks_of_captions_go_to_the_lower_index(monkeypatch):
    many = generated(700)
    whole = similar_captions(tfidf(many), 40)
    monkeypatch.setattr(nearest, "BLOCK", 97)
    same(similar_captions(tfidf(many), 40), whole)
    assert np.array_equal(swap_pairs(many, 1.0)[0], plain_swap(many, 1.0)[0])


def test_the_nearer_caption_comes_first_among_millions_too():
    n, cosine = 3_000_000, np.array([1.0, 0.9 - 1e-8, 0.9, 0.9])
    index = np.array([0, 1, n - 2, n - 1])
    unit = np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)
    vectors = sparse.csr_matrix((unit.ravel(), (index.repeat(2), np.tile([0, 1], 4))), shape=(n, 2))
    assert similar_captions(vectors, 3, [0]).indices.tolist() == [0, n - 2, n - 1]


def test_a_nearer_caption_at_the_end_of_a_block_is_kept():
    n, last = 3 * nearest.BLOCK, nearest.BLOCK - 1  # of each block: the lowering is largest there
    cosine = np.full(4, 0.9) + [0, 5e-10, 0, 2e-9]
    index = np.array([1, last, nearest.BLOCK, n - 1])
    unit = np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)
    rows = np.concatenate([[0, 0], index.repeat(2)])
    vectors = sparse.csr_matrix(
        (np.concatenate([[1, 0], unit.ravel()]), (rows, np.tile([0, 1], 5))), shape=(n, 2)
    )
    assert similar_captions(vectors, 3, [0]).indices.tolist() == [0, n - 1, last]
    assert similar_captions_by_blocks(vectors, 3, [0], "cpu").indices.tolist() == [0, n - 1, last]


def test_ten_digits_count_and_then_the_lower_index_up_to_the_last_of_millions():
    similarity, last = np.array([0.5, 0.5 + 2e-11, 0.5 + 1e-9, 1.0, 1.0]), nearest.MOST - 1
    ranks = nearest.rank(similarity, np.array([0, last, last, last, 3_000_000]))
    assert np.argsort(-ranks).tolist() == [4, 3, 2, 0, 1]


def test_a_shard_of_other_captions_or_settings_is_refused(captions, shards, monkeypatch):
    with pytest.raises(
        ValueError, match="vectors.npz was made from other captions or with other settings"
    ):
        load_shards(shards, [*captions[:-1], "another red star"], 3)
    monkeypatch.setattr(nearest_shards, "TFIDF", nearest.TFIDF | {"min_df": 3})
    with pytest.raises(ValueError, match="other settings"):
        load_shards(shards, captions, 3)


def test_a_shard_made_from_earlier_vectors_is_refused(captions, spoilt):
    spoilt(1, fingerprint="another")
    with pytest.raises(ValueError, match="1_of_3.npz was made from other captions"):
        load_shards(spoilt.folder, captions, 3)


def test_missing_and_damaged_shards_are_told(captions, spoilt):
    path = spoilt.folder / "1_of_3.npz"
    whole = path.read_bytes()
    for broken in (
        whole[: len(whole) // 2],
        b"",
        whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
    ):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="1_of_3.npz is damaged"):
            load_shards(spoilt.folder, captions, 3)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="there is no .*1_of_3.npz"):
        load_shards(spoilt.folder, captions, 3)


def test_pickled_objects_are_refused(captions, spoilt):
    np.savez(spoilt.folder / "0_of_3.npz", about=np.array([{}], object))
    with pytest.raises(ValueError, match="0_of_3.npz is damaged .*allow_pickle=False"):
        load_shards(spoilt.folder, captions, 3)


def test_shards_that_overlap_or_leave_a_gap_are_refused(captions, spoilt):
    spoilt(1, start=700)
    with pytest.raises(
        ValueError, match="1_of_3.npz holds 767 captions from 700 .*expected them to start at 766"
    ):
        load_shards(spoilt.folder, captions, 3)
    (spoilt.folder / "1_of_3.npz").write_bytes((spoilt.folder / "2_of_3.npz").read_bytes())
    with pytest.raises(ValueError, match="1_of_3.npz holds 767 captions from 1533"):
        load_shards(spoilt.folder, captions, 3)
    for shard in range(2):
        (spoilt.folder / f"{shard}_of_3.npz").rename(spoilt.folder / f"{shard}_of_2.npz")
    (spoilt.folder / "1_of_2.npz").unlink()
    with pytest.raises(FileNotFoundError, match="1_of_2.npz"):
        load_shards(spoilt.folder, captions, 2)


def test_shards_that_end_too_early_are_refused(captions, spoilt):
    for shard in range(2):
        (spoilt.folder / f"{shard}_of_3.npz").rename(spoilt.folder / f"{shard}_of_2.npz")
    with pytest.raises(ValueError, match="end at caption 1533, expected 2300"):
        load_shards(spoilt.folder, captions, 2)


@pytest.mark.parametrize("shard, n_shards", [(3, 3), (-1, 3), (0, 0), (0, 6)])
def test_a_shard_that_cannot_be_is_told(tmp_path, shard, n_shards):
    write_vectors(tmp_path, ["red star", "red ring", "star", "ring", "blue"])
    with pytest.raises(ValueError, match="expected 1 to 5 shards of 5 captions"):
        write_shard(tmp_path, shard, n_shards)
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.npz"]


def test_a_shard_without_vectors_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no .*vectors.npz"):
        write_shard(tmp_path, 0, 2)
