"""Statistics are those of scikit-learn, on the same inputs, to 1e-9."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import calibration as sk_calibration
from sklearn import metrics

from quintet.labels import statistics
from quintet.labels.estimates import MIN_ROWS, Calibration


def exactly(value: Any) -> Any:
    return pytest.approx(value, rel=0, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_of_two_classes(seed: int) -> None:
    random = np.random.default_rng(seed)
    # ties, and probabilities of 0 and 1
    p = np.round(random.beta(1, 3, 500), 1 if seed % 2 else 6)
    truth = (random.random(500) < p).astype(np.int64)
    both = np.column_stack([1 - p, p])
    assert statistics.auc(truth, p) == exactly(metrics.roc_auc_score(truth, p))
    assert statistics.log_loss(truth, both) == exactly(metrics.log_loss(truth, p))
    assert statistics.brier(truth, p) == exactly(metrics.brier_score_loss(truth, p))
    observed, predicted = sk_calibration.calibration_curve(truth, p, n_bins=statistics.BINS)
    error, bins = statistics.calibration(truth, p)
    assert [one["observed"] for one in bins] == exactly(observed.tolist())
    assert [one["predicted"] for one in bins] == exactly(predicted.tolist())
    rows = np.array([one["rows"] for one in bins])
    assert error == exactly(float(np.abs(observed - predicted) @ rows / 500))


def test_of_several_classes() -> None:
    random = np.random.default_rng(0)
    p = random.dirichlet([1, 1, 2, 3], 400)
    truth = np.array([random.choice(4, p=row) for row in p])
    expected = metrics.roc_auc_score(truth, p, multi_class="ovr")
    assert statistics.mean_auc(truth, p) == exactly(expected)
    assert statistics.log_loss(truth, p) == exactly(metrics.log_loss(truth, p))


def test_of_numbers() -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.normal(20, 5, 300), random.normal(20, 5, 300)
    assert statistics.number_errors(truth, predicted) == {
        "rmse": exactly(metrics.root_mean_squared_error(truth, predicted)),
        "mae": exactly(metrics.mean_absolute_error(truth, predicted)),
        "bias": exactly(float(np.mean(predicted - truth))),
    }


def test_an_auc_of_one_class_is_not_defined() -> None:
    assert statistics.auc(np.zeros(3, dtype=np.int64), np.array([0.1, 0.2, 0.3])) is None
    assert statistics.mean_auc(np.array([0, 1]), np.full((2, 3), 1 / 3)) is None


def test_the_expected_auc_is_the_mean_over_what_may_come() -> None:
    p, scores = np.array([0.9, 0.4, 0.2]), np.array([3.0, 1.0, 1.0])
    in_order, pairs = 0.0, 0.0
    for case in range(8):  # every outcome of the three rows
        truth = np.array([case >> row & 1 for row in range(3)])
        chance = np.prod(np.where(truth, p, 1 - p))
        area = statistics.auc(truth, scores)
        size = truth.sum() * (3 - truth.sum())
        in_order += chance * size * (area or 0)
        pairs += chance * size
    assert statistics.expected_auc(scores, p) == exactly(in_order / pairs)


def test_calibration_learns_how_often_probabilities_come_true() -> None:
    random = np.random.default_rng(0)
    p = random.uniform(0, 1, 200_000)
    known = Calibration()
    known.add(p[: MIN_ROWS - 1], np.ones(MIN_ROWS - 1, dtype=np.int64))
    assert known.apply(p) is p  # too few rows
    known = Calibration()
    known.add(p, random.random(len(p)) < p**2)
    grid = np.linspace(0.01, 0.99, 50)
    calibrated = known.apply(grid)
    assert np.abs(calibrated - grid**2).max() < 0.03
    assert (np.diff(calibrated) >= 0).all()


def test_calibration_takes_rows_that_never_come_true() -> None:
    known = Calibration()
    known.add(np.linspace(0, 1, 300), np.zeros(300, dtype=np.int64))
    assert known.apply(np.array([0.0, 0.5, 1.0])).tolist() == [0, 0, 0]
