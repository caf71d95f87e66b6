"""The schemas of records: what they allow is what a record may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from tests.kits.forms import contract_of
from tests.kits.models import CONTRACTS, SHOP

from quintet.columns import Array
from quintet.contract import Contract, DType, Feature, Output
from quintet.errors import BadInput
from quintet.openapi import values
from quintet.protocols import records
from quintet.serving.checking import check_values

INTEGERS: tuple[DType, ...] = (
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
)
#: a contract of each kind of feature, in the ways that a feature may be declared
KINDS = contract_of(
    *(Feature(name=name, dtype=name) for name in INTEGERS),
    Feature(name="half", dtype="float16"),
    Feature(name="bounded", dtype="float32", range=(-1, 2.5)),
    Feature(name="from_0", dtype="float64", range=(0, None)),
    Feature(name="flag", dtype="bool", default=False),
    Feature(name="text", dtype="string"),
    Feature(name="one_of", dtype="string", categories=("a", "b"), default="a"),
    Feature(name="number_of", dtype="int64", categories=(1, 2)),
    Feature(name="gap", dtype="float64", missing="nan"),
    Feature(name="row", dtype="float32", shape=(2,), range=(0, 9)),
    Feature(name="table", dtype="int32", shape=(2, 2)),
    Feature(name="free", dtype="int64", shape=(-1,), max=3, pad=0),
    Feature(name="gaps", dtype="float64", shape=(2,), missing="nan"),
    id="own",
)

#: values that lie at the edges of dtypes, and of other kinds
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 127, 128, 255, 256, 65504, 70000, 2**31, 2**63 - 1),
    *(2**63, 2**64 - 1, -(2**63), 0.5, -0.5, 2.5, 2.6, 9.5, 1e38, 4e38, -4e38, 1e300),
    *("", "a", "b", "c", {}, [], [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [1, None]),
    *([[1, 2], [3, 4]], [[1, 2], [3]]),
]


class _Model:
    """A model that is only checked against."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    def run(self, outputs: Any, feeds: dict[str, Array]) -> list[Array]:
        """Nothing runs: all rows are marked bad before."""
        raise AssertionError("a model ran")


def reads(contract: Contract, record: Any) -> bool:
    """Whether a record is taken, by the code that reads requests."""
    try:
        asked = records.read(contract, orjson.loads(orjson.dumps({"records": [record]})))
        check_values(_Model(contract), asked.batch)
    except BadInput:
        return False
    return True


def good(contract: Contract) -> dict[str, Any]:
    """A record with every required field."""
    found: dict[str, Any] = {}
    for one in contract.requested:
        value: Any = {"string": "a", "bool": True}.get(one.dtype, 1)
        if one.categories:
            value = one.categories[0]
        for size in reversed(one.largest):
            value = [value] * size
        found[one.key] = value
    return found


@pytest.mark.parametrize("name", [feature.name for feature in KINDS.features])
def test_the_schema_allows_the_values_that_are_read(name: str) -> None:
    validator = Draft202012Validator(values.record(KINDS))
    record = good(KINDS)
    assert validator.is_valid(record)
    assert reads(KINDS, record)
    for value in ODD:
        sent = {**record, name: value}
        assert validator.is_valid(sent) == reads(KINDS, sent), value


@pytest.mark.parametrize("field", ["own", "stranger", *(f.name for f in KINDS.features)])
def test_the_schema_knows_which_fields_a_record_needs(field: str) -> None:
    validator = Draft202012Validator(values.record(KINDS))
    record = good(KINDS)
    without = {name: value for name, value in record.items() if name != field}
    assert validator.is_valid(without) == reads(KINDS, without)
    given_one = {"own": "order-1", "stranger": 1}.get(field, record.get(field))
    sent = {**record, field: given_one}
    assert validator.is_valid(sent) == reads(KINDS, sent)


def test_stored_features_are_not_sent_and_the_entity_is() -> None:
    schema = values.record(SHOP)
    assert schema["required"] == ["customer", "amount"]
    assert schema["properties"].keys() == {"customer", "amount", "items"}
    assert schema["properties"]["items"]["default"] == 1.0
    validator = Draft202012Validator(schema)
    for sent in ({"customer": "c1", "amount": 5}, {"amount": 5}, {"customer": "", "amount": 5}):
        assert validator.is_valid(sent) == reads(SHOP, sent), sent


def test_a_sensitive_feature_is_marked_and_described() -> None:
    found = values.feature(replace(CONTRACTS["text"].features[0], description="words"))
    assert found == {"type": "string", "description": "words", "writeOnly": True}


@pytest.mark.parametrize(
    ("output", "schema"),
    [
        (Output(name="y", dtype="float32", shape=(-1, 1), meaning="score"), {"type": "number"}),
        (Output(name="y", dtype="int64", shape=(-1,), meaning="value"), {"type": "integer"}),
        (
            Output(name="y", dtype="float32", shape=(-1,), meaning="value", finite=False),
            {"type": ["number", "null"]},
        ),
        (
            Output(name="y", dtype="string", shape=(-1, 2), meaning="value"),
            {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
        ),
        (
            Output(name="y", dtype="float32", shape=(-1, -1), max=9, meaning="value"),
            {"type": "array", "items": {"type": "number"}},
        ),
    ],
)
def test_an_output_has_the_schema_of_its_value(output: Output, schema: dict[str, Any]) -> None:
    assert values.output_value(output) == schema


def test_a_label_and_probabilities_come_by_their_classes() -> None:
    contract = replace(
        SHOP,
        outputs=(
            Output(
                name="label", dtype="int64", shape=(-1,), meaning="label", classes=("no", "yes")
            ),
            Output(
                name="p",
                dtype="float32",
                shape=(-1, 2),
                meaning="probabilities",
                classes=("no", "yes"),
            ),
        ),
    )
    validator = Draft202012Validator(values.prediction(contract))
    row = {"label": 1, "label_class": "yes", "p": {"no": 0.25, "yes": 0.75}}
    rest = {"fallback": False, "features_age_s": {"orders_90d": None}}
    validator.validate({**row, **rest})
    assert not validator.is_valid({**row, **rest, "p": [0.25, 0.75]})
    assert not validator.is_valid(row)
    assert not validator.is_valid({**row, **rest, "label_class": "perhaps"})
