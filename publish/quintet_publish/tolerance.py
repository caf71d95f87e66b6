"""What a tolerance of golden outputs should be, and where differences come from. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from quintet.serving.golden import Difference

__all__ = [
    "MAX_TOLERANCE",
    "Noise",
    "advice",
    "is_stale",
    "noise_warning",
    "proposed_tolerance",
    "told",
]

MAX_TOLERANCE = 0.01
LEAST_TOLERANCE = 1e-6
OUTPUTS = 3  # outputs of the first row that are told
ROOM = 4  # how many times the noise a tolerance should hold, for processors that are not here


@dataclass(frozen=True, slots=True)
class Noise:
    """The largest difference between two ways to run the same rows, and which ways these are.

    A difference is divided by max(1, |value|), as for a tolerance. `flipping` is an output that is
    no float and differs, or a float that is finite in one way alone; empty if there is none.
    """

    largest: float
    ways: str
    flipping: str = ""


def is_stale(differing: Sequence[Difference], noise: Noise, dependent: Difference | None) -> bool:
    """Whether the expected outputs are another graph's: neither noise nor rows that depend."""
    largest = max(difference.relative for difference in differing)
    return dependent is None and largest > ROOM * noise.largest


def advice(differing: Sequence[Difference], noise: Noise, dependent: Difference | None) -> str:
    """Say where differences from the golden outputs come from, and what to do; empty if unknown."""
    if dependent is not None:
        return (
            f"row {dependent.row} depends on the rows beside it: {dependent.output} is "
            f"{dependent.got} among the golden rows, {dependent.expected} among copies of itself. "
            "Batch statistics and dynamic quantisation do this. Export the graph without them, or "
            "set `rows: one` in model.yaml, which runs each row alone, and compute the expected "
            "outputs row by row"
        )
    largest = max(difference.relative for difference in differing)
    if not math.isfinite(largest):
        return ""
    if is_stale(differing, noise, dependent):
        return (
            f"no float noise, which is {noise.largest:.1g} for this graph: the expected outputs "
            "are another graph's, or are rounded; `quintet golden` computes them from model.onnx"
        )
    why = f"float noise: {noise.ways}, the graph's own outputs differ by up to {noise.largest:.1g}"
    wanted = proposed_tolerance(max(noise.largest, largest / 2))
    if wanted is None:
        return f"{why}, more than a tolerance may be ({MAX_TOLERANCE:g})"
    return f'{why}; set "tolerance": {wanted:g}'


def told(differing: Sequence[Difference], rows: int, way: str = "") -> list[str]:
    """The first row that differs and, of several, how many of `rows` do and which one the most.

    `way` says how the rows were run. Empty if none differs.
    """
    if not differing:
        return []
    first = [found for found in differing if found.row == differing[0].row]
    lines = [f"{way}{found}" for found in first[:OUTPUTS]]
    wrong = {found.row for found in differing}
    if len(wrong) > 1:
        most = max(differing, key=lambda found: found.relative)
        by = f" by {most.apart:.2g}" if most.apart is not None else ""
        worst = f"row {most.row} the most, {most.output}{by}"
        lines.append(f"{way}{len(wrong):,} of {rows:,} rows differ, {worst}")
    return lines


def proposed_tolerance(noise: float) -> float | None:
    """Return a tolerance with room above the noise: 1, 2 or 5 times a power of ten.

    None if that is more than a tolerance may be.
    """
    wanted = max(ROOM * noise, LEAST_TOLERANCE)
    if not wanted <= MAX_TOLERANCE:
        return None
    power = 10.0 ** math.floor(math.log10(wanted))
    # 1 - 1e-9: a logarithm of exactly 1e-6 may be just below -6
    found = next(step * power for step in (1, 2, 5, 10) if step * power >= wanted * (1 - 1e-9))
    return float(f"{found:.0e}")


def noise_warning(noise: Noise, tolerance: float) -> str:
    """Say if golden outputs may not hold on another processor; empty if they should."""
    if noise.flipping:
        return (
            f"run {noise.ways}, the output {noise.flipping} of a golden row differs: the row lies "
            "at a threshold, and another processor may give the other value; replace the row"
        )
    if noise.largest * ROOM <= tolerance:
        return ""
    text = (
        f"run {noise.ways}, the golden outputs differ by up to {noise.largest:.1g}, and the "
        f"tolerance is {tolerance:g}: another processor may exceed it"
    )
    wanted = proposed_tolerance(noise.largest)
    return f'{text}; set "tolerance": {wanted:g}' if wanted else text
