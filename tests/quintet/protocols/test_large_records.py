"""Large bodies of records are read by types made from the contract: to the same rows and errors."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.kits.packages import contract

from quintet.columns import Batch
from quintet.contract import Contract, Feature, Limits
from quintet.errors import BadInput, TooLarge
from quintet.protocols import records
from quintet.protocols.http import SPARE_VALUES, Request

FEATURES = (
    Feature(name="x", dtype="float32"),
    Feature(name="y", dtype="int8"),
    Feature(name="ticks", dtype="int64"),
    Feature(name="pair", dtype="float64", shape=(2,)),
    Feature(name="tags", dtype="float32", shape=(-1,), max=3),
    Feature(name="text", column="Free: text", dtype="string"),
    Feature(name="flag", dtype="bool"),
)
LIMITS = Limits(rows=5_000, bytes=1_000_000)
WIDE = replace(contract(), features=FEATURES, inputs=(), entity="who", id="own", limits=LIMITS)


def row(**changes: Any) -> dict[str, Any]:
    """A record that is fine, with some values changed or, if they are `...`, left out."""
    found = {"x": 1.5, "y": 3, "ticks": 7, "pair": [1.0, 2.0], "tags": [], "Free: text": "a"}
    found |= {"flag": True, "who": "w", "own": "o"} | changes
    return {name: value for name, value in found.items() if value is not ...}


def shown(batch: Batch) -> dict[str, Any]:
    """What a batch holds: dtypes, values to the bit, and why rows are refused."""
    columns = {
        name: (str(column.dtype), [repr(value) for value in column.tolist()])
        for name, column in sorted(batch.columns.items())
    }
    of = {"refusals": batch.refusals, "absent": batch.absent}
    return of | {"columns": columns, "entities": batch.entities, "ids": batch.ids}


def outcome(body: bytes, typed: bool, asked: Contract = WIDE) -> Any:
    """The rows of a body as read one way, or the error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_TYPED", 0 if typed else 2**31)
        try:
            found = records.decode(asked, Request("POST", "/", raw=body))
        except BadInput as error:
            return type(error), error.refusals
    return found.partial, found.outputs, shown(found.batch)


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(-130, 130),
    st.sampled_from([-0.0, 1e39, 2**63, 2**64, -(10**20), 1e300, True, None, ..., "17.0", "a:b"]),
    st.sampled_from(["\u00e9", "", [1.0, 2.0], [1, True], [1.0, None], [], {}, {"own": 1}]),
)
CHANGES = st.dictionaries(st.sampled_from([*row(), "more", "x"]), VALUES, max_size=2)


@given(
    st.lists(CHANGES, min_size=1, max_size=4),
    st.sampled_from([{}, {"partial": True}, {"partial": None}, {"more": 1}]),
    st.sampled_from(
        [
            (b"", b""),
            (b"1.5", b"1.0"),
            (b"3", b"-0"),
            (b"1.5", b"-0"),
            (b'"x"', b'"y"'),
            (b"1", b"01"),
        ]
    ),
)
@example([{"ticks": 7.0}], {}, (b"", b""))
@example([{"own": 17}, {}], {}, (b"", b""))
@example([{}], {}, (b"1.5", b"-0"))
def test_both_ways_read_the_same(
    changes: list[dict[str, Any]], members: dict[str, Any], spoilt: tuple[bytes, bytes]
) -> None:
    body = json.dumps({"records": [row(**change) for change in changes], **members}).encode()
    body = body.replace(*spoilt) if spoilt[0] else body
    assert outcome(body, typed=True) == outcome(body, typed=False)


def test_a_large_body_is_read_by_its_types(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"records": [row(x=number, own=None) for number in range(2_000)]}).encode()
    body = body.replace(b', "own": null', b"")
    assert len(body) > records._TYPED
    expected = outcome(body, typed=False)
    monkeypatch.setattr(records, "parse_json", None)  # the general way
    found = records.decode(WIDE, Request("POST", "/", raw=body))
    assert (found.partial, found.outputs, shown(found.batch)) == expected


@pytest.mark.parametrize("typed", [True, False])
def test_a_body_of_too_many_values_is_refused_before_they_are_read(typed: bool) -> None:
    small = replace(WIDE, limits=Limits(rows=2, bytes=10_000_000))
    body = b'{"records": [%s]}' % b",".join([b"1"] * (small.max_values + SPARE_VALUES + 2))
    assert outcome(body, typed, small)[0] is TooLarge
