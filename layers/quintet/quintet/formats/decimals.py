"""Parse many decimal numbers of a text at once, each exactly as Python's `float` does.

A plain number is an optional minus, digits, and optionally a point and digits: JSON's grammar
without exponents. Eight digits become an integer by three multiplications (Lemire, "Quickly parsing
eight digits", 2018), and digits divided by a power of ten are correctly rounded as long as both are
exact doubles (Clinger, "How to read floating point numbers accurately", 1990). Other cells are
parsed one by one. numpy releases the interpreter's lock, so a model can run in parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BEFORE",
    "BEHIND",
    "EXACT",
    "Bytes",
    "Numbers",
    "Places",
    "Positions",
    "numbers",
    "points_of",
    "windows",
]

Positions = NDArray[np.int64]
Bytes = NDArray[np.uint8]

#: from here on, floats do not represent every integer
EXACT = 2.0**53
#: bytes needed before a text, because eight digits are read at once, and after it
BEFORE, BEHIND = 8, 2
#: the most digits before the point, after it, and together: they fit 64 bits
WHOLE, PLACES, DIGITS = 16, 18, 19
#: at most one cell in so many may be parsed alone
ODD = 50
#: cells per pass, whose arrays fit a processor's cache
PASS = 1 << 16
MINUS, POINT, ZERO = b"-.0"

#: the divisors for decimal places: first for positive numbers, then for negative ones
_POWERS = 10.0 ** np.arange(PLACES + 1)
_POWERS = np.concatenate([_POWERS, -_POWERS])
_SCALES = 10 ** np.arange(PLACES + 1)
#: the last n of eight bytes, n from 0 to 8, in a little-endian integer
_LAST = np.array([(1 << 64) - (1 << 8 * (8 - n)) for n in range(9)], dtype=np.uint64)
_ZEROS = np.uint64(0x3030303030303030)
#: added to bytes, it sets the high bit of values from 10 to 127
_OVER_9 = np.uint64(0x7676767676767676)
_HIGH_BITS = np.uint64(0x8080808080808080)
#: combines neighbouring digits into one number: pairs, fours, then all eight
_FOLDS = tuple(
    (np.uint64(factor), np.uint64(bits), np.uint64(mask))
    for factor, bits, mask in (
        (10 << 8 | 1, 8, 0x00FF00FF00FF00FF),
        (100 << 16 | 1, 16, 0x0000FFFF0000FFFF),
        (10000 << 32 | 1, 32, 0x00000000FFFFFFFF),
    )
)


class Places(NamedTuple):
    """Where cells of a text start, have their point (their end if they have none) and end.

    A cell with two points is not a number, whichever point is given.
    """

    starts: Positions
    points: Positions
    ends: Positions

    def at(self, index: Any) -> Places:
        """Some of them, by an index of numpy."""
        return Places(self.starts[index], self.points[index], self.ends[index])

    def shaped(self, *shape: int) -> Places:
        """The same in another shape."""
        starts, points, ends = (some.reshape(shape) for some in self)
        return Places(starts, points, ends)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers, (rows, columns). Those in `near` have a relative error under 2**-50."""

    values: NDArray[np.float64]
    near: NDArray[np.bool_] | None

    def of(self, columns: list[int]) -> Numbers:
        """Some of the columns."""
        if columns == list(range(self.values.shape[1])):
            return self
        near = None if self.near is None else self.near[:, columns]
        return Numbers(self.values[:, columns], near if near is not None and near.any() else None)


def numbers(data: Bytes, cells: Places, read: Callable[[bytes], float]) -> Numbers | None:
    """The numbers in the cells, (rows, columns), of a text.

    `data` is the text with `BEFORE` and `BEHIND` bytes around it, which positions do not count.
    None if too many cells are not plain; `read` parses a cell that is not.

    Raises:
        ValueError: from `read`, a cell is not a number.
    """
    shape = cells.starts.shape
    values = np.empty(cells.starts.size)
    near = np.zeros(cells.starts.size, dtype=np.bool_)
    text, flat = data[BEFORE:], cells.shaped(-1)
    for at in range(0, len(values), PASS):
        part = slice(at, at + PASS)
        odd = _pass(data, flat.at(part), values[part], near[part])
        if len(odd) * ODD > len(values):
            return None
        for place in (odd + at).tolist():
            values[place] = read(text[flat.starts[place] : flat.ends[place]].tobytes())
    return Numbers(values.reshape(shape), near.reshape(shape) if near.any() else None)


def _pass(
    data: Bytes, cells: Places, values: NDArray[np.float64], near: NDArray[np.bool_]
) -> Positions:
    """Fill in the plain numbers of some cells, and which are approximate; the other cells."""
    starts, points, ends = cells
    text = data[BEFORE:]
    minus = text[starts] == MINUS
    sign = minus.astype(np.int64)
    whole = points - starts
    whole -= sign
    places = ends - points
    plain = (whole >= 1) & (places != 1)
    if whole.max() > 1 or not places.all():
        # a number may not begin with a zero unless that is its only digit before the point; `read`
        # parses -0, which as a JSON integer has no sign
        plain &= (text[starts + sign] != ZERO) | ((whole == 1) & ((places > 0) | ~minus))
    np.maximum(places - 1, 0, out=places)
    if whole.max() > WHOLE or places.max() > PLACES or (whole + places).max() > DIGITS:
        plain &= (whole <= WHOLE) & (places <= PLACES) & (whole + places <= DIGITS)
    if not plain.all():
        whole[~plain] = places[~plain] = 0
    digits = _digits(data, points, whole, plain)
    digits *= _SCALES[places]
    digits += _digits(data, ends, places, plain)
    if digits.min() < 0:  # beyond a signed integer
        plain &= digits >= 0
    np.copyto(values, digits)
    if digits.max() > EXACT:
        near[...] = (digits > EXACT) & (places > 0)
    sign *= len(_POWERS) // 2
    places += sign
    values /= _POWERS[places]
    return np.flatnonzero(~plain)


def points_of(text: Bytes, starts: Positions, ends: Positions) -> Positions:
    """The positions of the cells' points, after an optional minus and 1 to `WHOLE` digits.

    The cell's end if it has no point there. All three have one dimension.
    """
    place = starts + 1  # most cells have one digit before it
    place += text[starts] == MINUS
    found = text[place] == POINT
    points = np.where(found, place, ends)
    left = np.flatnonzero(~found)
    for _ in range(1, WHOLE):
        place = place[~found] + 1
        inside = place < ends[left]
        left, place = left[inside], place[inside]
        if not len(left):
            break
        found = text[place] == POINT
        points[left[found]] = place[found]
        left = left[~found]
    return points


def _digits(
    data: Bytes, ends: Positions, counts: Positions, plain: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The integers of the `counts` bytes before `ends`; not `plain` if some are not digits."""
    most = int(counts.max(initial=0))
    if most > 2:
        total = _eight(data, ends, np.minimum(counts, 8), plain)
        for done in range(8, most, 8):
            more = np.flatnonzero(counts > done)
            fine = np.ones(len(more), dtype=np.bool_)
            rest = _eight(data, ends[more] - done, np.minimum(counts[more] - done, 8), fine)
            total[more] += rest * _SCALES[done]
            plain[more] &= fine
        return total
    total = np.zeros(len(ends), dtype=np.int64)
    for place in range(most):  # for one or two digits, checking each is cheaper
        digit = data[ends + (BEFORE - 1 - place)] - np.uint8(ZERO)
        digit *= counts > place
        plain &= digit <= 9
        total += digit * _SCALES[place]
    return total


def _eight(
    data: Bytes, ends: Positions, counts: Positions, plain: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The same of at most eight bytes."""
    found: NDArray[np.uint64] = windows(data, 8)[ends].view("<u8")  # from eight bytes before
    found ^= _ZEROS
    found &= _LAST[counts]
    over = found + _OVER_9
    over |= found
    if np.bitwise_or.reduce(over) & _HIGH_BITS:
        plain &= over & _HIGH_BITS == 0
    for factor, bits, mask in _FOLDS:
        found *= factor
        found >>= bits
        found &= mask
    return found.view(np.int64)


def windows(data: Bytes, size: int) -> NDArray[np.void]:
    """All runs of `size` bytes, by where they start."""
    return np.ndarray((len(data) - size + 1,), dtype=f"V{size}", buffer=data, strides=(1,))
