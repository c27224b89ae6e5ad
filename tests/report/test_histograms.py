"""Histograms of several samples."""

import numpy as np
import pytest

from featpurity.report import histograms


def test_the_shares_of_each_sample_sum_to_one():
    samples = {"a": np.array([[0.0, 0.1], [0.9, 1.0]]), "b": np.full(10, 0.55)}
    figure = histograms.shares(samples, "|cos|", "Two samples.", bins=10)
    first, second = (np.array(trace.y, dtype=float) for trace in figure.data)
    assert np.nansum(first) == pytest.approx(1) and np.nansum(second) == pytest.approx(1)
    assert np.isnan(first[5]) and second[5] == 1
    assert figure.data[0].x[0] == pytest.approx(0.05)
    assert figure.layout.meta["caption"] == "Two samples."
    assert figure.layout.yaxis.type == "log" and figure.layout.xaxis.title.text == "|cos|"
