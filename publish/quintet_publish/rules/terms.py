"""The vocabulary of the rules: paths in a contract, allowed names, shared checks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from quintet.columns import numpy_dtype

__all__ = ["FIELD", "RESERVED", "Found", "Path", "dimensions", "is_of", "tensor_name", "under"]

#: a path in the contract: ("features", 2, "dtype")
Path = tuple[str | int, ...]
#: each path that breaks a rule, and what was expected there
Found = Iterator[tuple[Path, str]]

FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
RESERVED = ("entity", "expires")  # the feature store's own attributes
#: characters of a name that others chose: `input:0`, `/head/Softmax_output_0`, `Income ($)`
MAX_NAME = 128
MAX_ELEMENTS = 2**24  # elements of one row of a tensor


def under(place: Path, found: Found) -> Found:
    """Return the problems of a part, with their paths in the whole."""
    for path, text in found:
        yield (*place, *path), text


def dimensions(shape: Sequence[int], most: int | Sequence[int] | None = None) -> Found:
    """Return problems of the shape of one row; `most` bounds its free axes (-1)."""
    bounds = [most] if isinstance(most, int) else list(most or ())
    free = list(shape).count(-1)
    if any(size < 1 and size != -1 for size in shape):
        yield ("shape",), f"expected sizes of at least 1 for a row, or -1, got {list(shape)}"
    elif free and most is None:
        bound = "512" if free == 1 else str([512] * free)
        yield ("max",), f"is required for a size of -1, such as `max: {bound}`"
    elif len(bounds) != free or any(bound < 1 for bound in bounds):
        numbers = f"{free} numbers of at least 1" if free else "none"
        numbers = "one number of at least 1" if free == 1 else numbers
        text = f"expected {numbers}, as {list(shape)} has {free} of -1"
        yield ("max",), f"{text}, got {most}"
    elif math.prod([size for size in shape if size != -1] + bounds) > MAX_ELEMENTS:
        yield ("shape",), f"expected at most {MAX_ELEMENTS} elements a row"


def is_of(dtype: str, value: Any) -> bool:
    """Whether a value of YAML or JSON has a dtype."""
    kind = numpy_dtype(dtype).kind
    if kind == "O":
        return isinstance(value, str)
    if kind == "b" or isinstance(value, bool):
        return kind == "b" and isinstance(value, bool)
    if kind == "f":
        return isinstance(value, int | float)
    limits = np.iinfo(dtype)
    return isinstance(value, int) and int(limits.min) <= value <= int(limits.max)


def tensor_name(place: Path, name: str) -> Found:
    """Return the problem of a name of a tensor or column, which others chose."""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        yield (
            place,
            f"expected a name of 1 to {MAX_NAME} printable characters, not ending in blanks",
        )
