"""The tests of distributions equal scipy's on the same inputs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from quintet.monitoring import statistics

RANDOM = np.random.default_rng(11)


@pytest.mark.parametrize("now", [20, 200, 1_000])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 3.0])
def test_kolmogorov_smirnov_is_scipys(now: int, shift: float) -> None:
    first, second = RANDOM.normal(shift, size=now), RANDOM.normal(size=700)
    edges = np.unique(np.concatenate([first, second]))  # a bin for each value: nothing is lost
    counts = [np.bincount(np.searchsorted(edges, s), minlength=len(edges)) for s in (first, second)]
    distance, p = statistics.kolmogorov_smirnov(counts[0].astype(float), counts[1].astype(float))
    assert distance == pytest.approx(stats.ks_2samp(first, second).statistic, abs=1e-12)
    scaled = np.sqrt(now * 700 / (now + 700)) * distance
    assert p == pytest.approx(float(stats.kstwobign.sf(scaled)), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("x", [0.0, 0.05, 0.3, 0.7, 0.999, 1.0, 1.5, 3.0, 8.0])
def test_kolmogorovs_distribution_is_scipys(x: float) -> None:
    expected = float(stats.kstwobign.sf(x))
    assert statistics.kolmogorov_tail(x) == pytest.approx(expected, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("categories", [2, 3, 20, 101])
def test_chi_square_is_scipys(categories: int) -> None:
    shares = RANDOM.dirichlet(np.ones(categories))
    table = np.array([RANDOM.multinomial(n, shares) for n in (300, 5_000)]) + 1.0
    distance, p = statistics.chi_square(*table)
    expected = stats.chi2_contingency(table, correction=False)
    assert p == pytest.approx(expected.pvalue, rel=1e-9)
    assert distance == pytest.approx(np.abs(table[0] / 300 - table[1] / 5_000).sum() / 2, abs=0.2)


@pytest.mark.parametrize("degrees", [1, 2, 3, 10, 99, 100])
@pytest.mark.parametrize("x", [0.0, 0.1, 5.0, 100.0, 900.0])
def test_the_chi_square_distribution_is_scipys(degrees: int, x: float) -> None:
    expected = float(stats.chi2.sf(x, degrees))
    assert statistics.chi_square_tail(x, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_holms_values_are_those_of_its_definition() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_rare_categories_are_one() -> None:
    now, before = np.array([190.0, 4, 3, 3]), np.array([1_900.0, 40, 20, 40])
    kept, kept_before = statistics.pooled(now, before)
    assert (kept.tolist(), kept_before.tolist()) == ([190, 10], [1900, 100])
    assert statistics.chi_square(np.array([5.0, 0]), np.array([7.0, 0])) == (0.0, 1.0)
