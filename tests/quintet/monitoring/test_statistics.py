"""The tests of distributions equal scipy's on the same inputs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

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


def test_sizes_are_those_of_their_formulas() -> None:
    now, before = np.array([30.0, 10.0, 0.0]), np.array([10.0, 30.0, 20.0])
    p, q = np.array([30.5, 10.5, 0.5]) / 41.5, np.array([10.5, 30.5, 20.5]) / 61.5
    assert statistics.smooth(now) == pytest.approx(p)
    assert statistics.stability_index(now, before) == pytest.approx(float((p - q) @ np.log(p / q)))
    assert statistics.jensen_shannon(now, before) == pytest.approx(jensenshannon(p, q, 2))
    assert statistics.jensen_shannon(now, now) == statistics.stability_index(now, now) == 0


def test_chi_square_counts_columns_that_someone_has() -> None:
    """scipy would refuse the column of zeros."""
    now, before = np.array([30.0, 0.0, 10.0]), np.array([30.0, 0.0, 30.0])
    expected = stats.chi2_contingency([[30, 10], [30, 30]], correction=False)
    assert statistics.chi_square(now, before) == pytest.approx((0.25, float(expected.pvalue)))
    assert statistics.chi_square(now[:2], before[:2]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("third", "fourth", "pooled"),
    [
        ((4, 16), (3, 16), False),
        ((4, 15), (3, 16), True),
        ((4, 15), (3, 17), False),
    ],
)
def test_categories_are_rare_below_five_of_the_smaller_sample(
    third: tuple[int, int], fourth: tuple[int, int], pooled: bool
) -> None:
    """Of 100 rows and 300, a category with 20 of both is 5 of the 100; one rare alone stays."""
    samples = [
        np.array([whole - 50 - a - b, 50.0, a, b])
        for whole, a, b in zip((100, 300), third, fourth, strict=True)
    ]
    expected = [np.append(one[:2], one[2] + one[3]) if pooled else one for one in samples]
    found = statistics.pooled(samples[0], samples[1])
    assert [one.tolist() for one in found] == [one.tolist() for one in expected]


def test_no_rows_are_pooled_to_none() -> None:
    found, before = statistics.pooled(np.zeros(3), np.zeros(3))
    assert (found.tolist(), before.tolist()) == ([0], [0])


def test_a_tail_is_at_most_one() -> None:
    assert statistics.chi_square_tail(-1.0, 3) == statistics.kolmogorov_tail(-1.0) == 1.0
    for degrees in range(1, 12):
        assert statistics.chi_square_tail(1e-12, degrees) <= 1.0
