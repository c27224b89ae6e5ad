"""A small byte-pair vocabulary for open_clip's SimpleTokenizer, learnt from the captions."""

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import regex
from open_clip.tokenizer import bytes_to_unicode

from featpurity.files import writing

_WORDS = regex.compile(r"\p{L}+")


def learn_merges(texts: Iterable[str], n_merges: int = 2000) -> list[tuple[str, str]]:
    """Pairs that byte-pair encoding joins, in order, until every word is one token.

    Parameters
    ----------
    texts : iterable of str
    n_merges : int
        At most this many.

    Returns
    -------
    merges : list of (str, str)

    References
    ----------
    Sennrich, Haddow & Birch (2016), Neural Machine Translation of Rare Words with Subword Units.
    """
    alphabet = bytes_to_unicode()
    counts = Counter(word for text in texts for word in _WORDS.findall(text.lower()))
    words = {}
    for word, count in counts.items():
        symbols = [alphabet[byte] for byte in word.encode()]
        words[(*symbols[:-1], symbols[-1] + "</w>")] = count
    merges = []
    while len(merges) < n_merges:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))  # the first of equal counts
        merges.append(best)
        words = {_joined(word, best): count for word, count in words.items()}
    return merges


def _joined(word, pair):
    joined, i = [], 0
    while i < len(word):
        step = 2 if word[i : i + 2] == pair else 1
        joined.append("".join(word[i : i + step]))
        i += step
    return tuple(joined)


def write_merges(path: str | Path, texts: Iterable[str]) -> None:
    """Learn merges; write them as the gzipped file that `SimpleTokenizer(bpe_path=...)` reads."""
    lines = ["#version: 0.2", *(" ".join(pair) for pair in learn_merges(texts))]
    with writing(path) as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as zipped:
        # Without time and name inside, equal captions give equal files.
        zipped.write("\n".join(lines).encode())
