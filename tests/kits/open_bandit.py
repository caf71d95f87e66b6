"""The Open Bandit sample: real impressions of a fashion shop, by two policies, with propensities.

Yuta Saito et al., "Open Bandit Dataset and Pipeline", 2020, https://arxiv.org/abs/2008.07146. It is
read from the wheel of `obp`, which states a licence for its code and none for the data: nothing of
it is committed.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["CAMPAIGNS", "Log", "log_of"]

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / "build/wheels"
CAMPAIGNS = ("all", "men", "women")


@dataclass(frozen=True)
class Log:
    """Impressions of one item each, all (10000,): the item, its position from 1 to 3, the
    probability with which the policy showed it there, and whether it was clicked."""

    item: NDArray[np.int64]
    position: NDArray[np.int64]
    propensity: NDArray[np.float64]
    click: NDArray[np.float64]


@cache
def log_of(policy: str, campaign: str) -> Log:
    """A campaign's impressions by a policy: `random`, or `bts` (Bernoulli Thompson sampling)."""
    name = f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv"
    with zipfile.ZipFile(_wheel()) as wheel, wheel.open(name) as file:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8"))
        header = next(rows)
        at = [header.index(one) for one in ("item_id", "position", "propensity_score", "click")]
        columns = zip(*([row[place] for place in at] for row in rows), strict=True)
        item, position, propensity, click = (np.array(one, np.float64) for one in columns)
    return Log(item.astype(np.int64), position.astype(np.int64), propensity, click)


def _wheel() -> Path:
    """The wheel, downloaded once; pip checks its hash."""
    if not (found := sorted(WHEELS.glob("obp-*.whl"))):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        pins = ROOT / "requirements/open-bandit.txt"
        subprocess.run([*pip, "--dest", str(WHEELS), "--requirement", str(pins)], check=True)
        found = sorted(WHEELS.glob("obp-*.whl"))
    return found[0]
