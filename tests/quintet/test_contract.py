"""The contract's dataclasses: to JSON and back, and what they derive."""

from __future__ import annotations

import json
import typing
from dataclasses import fields, is_dataclass, replace
from typing import Any

from quintet.contract import (
    AlertRule,
    Contract,
    Fallback,
    FallbackRule,
    Feature,
    Input,
    Output,
    Stream,
    dicts,
    from_dict,
    to_dict,
)

CONTRACT = Contract(
    name="risk",
    version=3,
    task="binary-classification",
    entity="card",
    features=(
        Feature(name="amount", dtype="float32", range=(0.0, None)),
        Feature(name="country", dtype="string", categories=("FR", "DE"), default="FR"),
        Feature(name="orders", dtype="int64", source="store", max_age=60.0, when_stale="fallback"),
    ),
    inputs=(Input(name="x", dtype="float32", shape=(-1, 1), features=("amount",)),),
    outputs=(Output(name="p", dtype="float32", shape=(-1, 2), meaning="probabilities"),),
    fallback=Fallback(
        otherwise={"p": [0.9, 0.1]},
        rules=(FallbackRule(feature="amount", above=100.0, outputs={"p": [0.2, 0.8]}),),
    ),
    alert=AlertRule(output="p", above=0.9),
)


def test_json_round_trip_gives_the_same_contract() -> None:
    assert from_dict(json.loads(json.dumps(to_dict(CONTRACT)))) == CONTRACT


def test_version_that_named_the_id_of_its_rows_under_stream_still_loads() -> None:
    contract = replace(CONTRACT, id="order_id", stream=Stream(time="placed"))
    stored = json.loads(json.dumps(to_dict(contract)))
    stored["stream"]["id"] = stored.pop("id")
    assert from_dict(stored) == contract


def test_derived_names() -> None:
    assert [f.name for f in CONTRACT.requested] == ["amount", "country"]
    assert [f.name for f in CONTRACT.stored] == ["orders"]
    assert CONTRACT.request_keys == {"amount", "country", "card"}
    assert CONTRACT.needs_entity


def parts_in(hint: Any) -> set[type]:
    """The classes of this module that a field may hold, alone or in a tuple."""
    if is_dataclass(hint):
        return {typing.cast(type, hint)}
    return {part for inner in typing.get_args(hint) for part in parts_in(inner)}


def test_every_part_of_a_contract_is_read_as_its_class() -> None:
    found: dict[type, dict[str, type]] = {}
    waiting: list[type] = [Contract]
    while waiting:
        kind = waiting.pop()
        hints = typing.get_type_hints(kind)
        for field in fields(kind):
            for part in parts_in(hints[field.name]):
                found.setdefault(kind, {})[field.name] = part
                waiting.append(part)
    assert found == dicts._PARTS


def test_only_objects_hold_lists() -> None:
    # `from_dict` makes a tuple of every list that is a field's value
    for kind in {Contract, *(p for parts in dicts._PARTS.values() for p in parts.values())}:
        for name, hint in typing.get_type_hints(kind).items():
            options = typing.get_args(hint) or (hint,)
            assert all(typing.get_origin(option) is not list for option in options), name
