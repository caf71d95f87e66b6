"""Many decimal numbers of a text at once, each exactly as Python's `float` reads it.

A plain number is a minus perhaps, digits, and perhaps a point and digits: JSON's grammar
without exponents. Eight digits become an integer by three multiplications (Lemire, "Quickly
parsing eight digits", 2018), and digits divided by a power of ten are correctly rounded as long
as both are exact doubles (Clinger, "How to read floating point numbers accurately", 1990).
Other cells are looked at one by one. numpy does its work without the interpreter's lock, so
that a model can run beside it.
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

#: floats from here on are not all integers
EXACT = 2.0**53
#: bytes that must stand before a text, since eight digits are read at once, and behind it
BEFORE, BEHIND = 8, 2
#: the most digits before and behind the point, and together: they fit 64 bits
WHOLE, PLACES, DIGITS = 16, 18, 19
#: one cell in so many may be looked at by itself
ODD = 50
#: cells of one pass, whose arrays fit a processor's cache
PASS = 1 << 16
MINUS, POINT, ZERO = b"-.0"

#: what digits are divided by for their places: first of positive numbers, then of negative ones
_POWERS = 10.0 ** np.arange(PLACES + 1)
_POWERS = np.concatenate([_POWERS, -_POWERS])
_SCALES = 10 ** np.arange(PLACES + 1)
#: the last n of eight bytes, n from 0 to 8, in a little-endian integer
_LAST = np.array([(1 << 64) - (1 << 8 * (8 - n)) for n in range(9)], dtype=np.uint64)
_ZEROS = np.uint64(0x3030303030303030)
#: added to bytes, it sets the high bit of those over 9 and under 128
_OVER_9 = np.uint64(0x7676767676767676)
_HIGH_BITS = np.uint64(0x8080808080808080)
#: folds neighbouring digits into one number: by twos, fours, and all eight
_FOLDS = tuple(
    (np.uint64(factor), np.uint64(bits), np.uint64(mask))
    for factor, bits, mask in (
        (10 << 8 | 1, 8, 0x00FF00FF00FF00FF),
        (100 << 16 | 1, 16, 0x0000FFFF0000FFFF),
        (10000 << 32 | 1, 32, 0x00000000FFFFFFFF),
    )
)


class Places(NamedTuple):
    """Where cells of a text start, have a point (their end, where none) and end.

    A cell with a second point is no number, whichever of them is told.
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
    """Numbers, (rows, columns). Those of `near` are not exact, but by less than 2**-50 of them."""

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

    `data` is the text with `BEFORE` and `BEHIND` bytes around it, which are not counted. None
    where too many are not plain; `read` gives the number of one that is not.

    Raises:
        ValueError: by `read`, a cell is no number.
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
    """Fill in the plain numbers of some cells, and which are only near; the other cells."""
    starts, points, ends = cells
    text = data[BEFORE:]
    minus = text[starts] == MINUS
    sign = minus.astype(np.int64)
    whole = points - starts
    whole -= sign
    places = ends - points
    plain = (whole >= 1) & (places != 1)
    if whole.max() > 1 or not places.all():
        # a whole number without a sign may begin with no zero but its only digit; and JSON's -0,
        # an integer, has no sign: it is left to `read`
        plain &= (text[starts + sign] != ZERO) | ((whole == 1) & ((places > 0) | ~minus))
    np.maximum(places - 1, 0, out=places)
    if whole.max() > WHOLE or places.max() > PLACES or (whole + places).max() > DIGITS:
        plain &= (whole <= WHOLE) & (places <= PLACES) & (whole + places <= DIGITS)
    if not plain.all():
        whole[~plain] = places[~plain] = 0
    digits = _digits(data, points, whole, plain)
    digits *= _SCALES[places]
    digits += _digits(data, ends, places, plain)
    if digits.min() < 0:  # past a signed integer
        plain &= digits >= 0
    np.copyto(values, digits)
    if digits.max() > EXACT:
        near[...] = (digits > EXACT) & (places > 0)
    sign *= len(_POWERS) // 2
    places += sign
    values /= _POWERS[places]
    return np.flatnonzero(~plain)


def points_of(text: Bytes, starts: Positions, ends: Positions) -> Positions:
    """Where cells have their points, behind a minus perhaps and 1 to `WHOLE` digits.

    The end of a cell that has none there. All three are of one dimension.
    """
    place = starts + 1  # most have one digit before it
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
    """The integers of the `counts` bytes before `ends`; not `plain` where some are no digits."""
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
    for place in range(most):  # of one or two, a look at each is cheaper
        digit = data[ends + (BEFORE - 1 - place)] - np.uint8(ZERO)
        digit *= counts > place
        plain &= digit <= 9
        total += digit * _SCALES[place]
    return total


def _eight(
    data: Bytes, ends: Positions, counts: Positions, plain: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The same of at most eight bytes."""
    found: NDArray[np.uint64] = windows(data, 8)[ends].view("<u8")  # from eight before
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
