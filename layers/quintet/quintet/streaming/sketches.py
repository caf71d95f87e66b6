"""Count distinct values in a few hundred bytes: HyperLogLog by datasketches.

A sketch is its serialised bytes. Up to about a hundred values it is nearly exact; beyond that its
relative standard error is 3 % (1.04 / sqrt(2^LG_K)). The library is loaded only if a contract has
such an aggregate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["estimate", "sketch"]

#: 2^10 registers of 4 bits: at most some 600 bytes
#: https://datasketches.apache.org/docs/HLL/HllSketches.html
LG_K = 10


def sketch(items: Iterable[bytes | str | float]) -> bytes:
    """One sketch of values (texts, numbers) and of other sketches (bytes)."""
    import datasketches

    values, others = datasketches.hll_sketch(LG_K, datasketches.tgt_hll_type.HLL_4), []
    for item in items:
        if isinstance(item, bytes):
            others.append(item)
        else:
            # a prefix, because the library ignores the empty text
            values.update(f"={item}" if isinstance(item, str) else float(item))
    if len(others) == 1 and values.is_empty():
        return others[0]
    if not others:
        return bytes(values.serialize_compact())
    union = datasketches.hll_union(LG_K)
    union.update(values)
    for other in others:
        union.update(_read(other))
    return bytes(union.get_result(datasketches.tgt_hll_type.HLL_4).serialize_compact())


def estimate(content: bytes) -> int:
    """The estimated number of distinct values in a sketch.

    The estimate does not depend on how the sketch was built: a sketch built only from values keeps
    more information than a merged one, until it is merged with itself.
    """
    import datasketches

    union, one = datasketches.hll_union(LG_K), _read(content)
    union.update(one)
    union.update(one)
    found: float = union.get_estimate()
    return round(found)


def _read(content: bytes) -> Any:
    """The sketch of its bytes. Raises ValueError for other bytes."""
    import datasketches

    try:
        return datasketches.hll_sketch.deserialize(content)
    except (RuntimeError, IndexError) as error:
        raise ValueError(str(error)) from error
