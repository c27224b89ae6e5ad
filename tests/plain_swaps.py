"""Swapped captions by their definition, word for word, and captions of a small world to swap."""

import re

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer


def plain_vectors(captions):
    """TF-IDF vectors as the definition has them: what is no word character becomes a space."""
    words = TfidfVectorizer(
        preprocessor=lambda text: re.sub(r"[^\w\s]", " ", text.lower()),
        stop_words="english",
        ngram_range=(1, 2),
        max_features=5000,
        min_df=2,
        max_df=0.95,
    )
    return words.fit_transform(captions)


def plain_swap(captions, ratio, seed=42, top_k=10, images=None):
    """No stored lists, every similarity computed and sorted at every visit; pairs, similarities."""
    vectors = plain_vectors(captions).toarray()
    images = np.arange(len(captions)) if images is None else np.array(images)
    rng = np.random.default_rng(seed)
    unused, pairs, similarities = np.ones(len(captions), bool), [], []
    for i in rng.permutation(len(captions)):
        if 2 * len(pairs) >= ratio * len(captions):
            break
        if not unused[i]:
            continue
        unused[i] = False
        others = np.flatnonzero(unused & (images != images[i]))
        if len(others) == 0:
            break
        similarity = np.round(vectors[others] @ vectors[i], 10)
        nearest = others[np.argsort(-similarity, kind="stable")[:top_k]]
        j = nearest[rng.integers(len(nearest))]
        unused[j] = False
        pairs.append((i, j))
        similarities.append(vectors[i] @ vectors[j])
    return np.array(pairs), np.array(similarities)


def generated(n, seed=0):
    """Many duplicates and near duplicates, some without any known word."""
    rng = np.random.default_rng(seed)
    colours = ["red", "green", "blue", "grey"]
    shapes = ["circle", "square", "star", "ring", "cross"]
    templates = ["a {} {}", "photo of a {} {} on wood", "{1}", "", "the and of", "A {}-{}, large!"]
    return [rng.choice(templates).format(rng.choice(colours), rng.choice(shapes)) for _ in range(n)]
