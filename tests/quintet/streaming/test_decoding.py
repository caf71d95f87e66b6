"""What the data of a stream's records may be, and what is said of that which cannot be read."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kits import models
from tests.kits.streams import METER, NOW, TIMED, data, reading, shard_batch

from quintet.contract import Aggregate, Contract, Feature, Limits, Stream
from quintet.errors import BadInput, ModelFailure
from quintet.formats import strict_json
from quintet.onnx_model import OnnxModel
from quintet.serving.routes import UnknownModel
from quintet.streaming.compression import MAX_BYTES
from quintet.streaming.decoding import decode
from quintet.streaming.model_rows import Decoded, ModelRows
from quintet.streaming.typed_decoder import decode_typed

Reason = tuple[str, str, str]


def decoded(*records: bytes, contract: Contract = METER, default: str = "log") -> Decoded:
    """The records read, of which `contract` is the model "log"."""

    def model_of(name: str) -> OnnxModel:
        if name == "broken":
            raise ModelFailure("model broken version 1 does not load (Fail)")
        if name != "log":
            raise UnknownModel(name)
        return OnnxModel(contract, models.log_graph())

    return decode(shard_batch(*records), model_of, default)


def model_rows_of(*records: bytes, contract: Contract = METER) -> ModelRows:
    """The rows of records that can all be read."""
    found = decoded(*records, contract=contract)
    assert found.undecodable == []
    ((_, model_rows),) = found.by_model
    return model_rows


def refused(record: bytes, **more: Any) -> tuple[list[Reason], str | None]:
    """Why one record cannot be read, and its model; the good ones beside it are."""
    good = data(reading())
    found = decoded(good, record, good, **more)
    (undecodable,) = found.undecodable
    assert undecodable.record == 1
    ((_, model_rows),) = found.by_model
    assert model_rows.record.tolist() == [0, 2]
    reasons = [(r.field, r.expected, r.got) for r in undecodable.reasons]
    assert {r.row for r in undecodable.reasons} == {None}
    return reasons, undecodable.model


# ---- forms ------------------------------------------------------------------------------------


def tensors(*values: float, **more: Any) -> dict[str, Any]:
    """A request of the Open Inference Protocol."""
    rows = len(values)
    kinds = {"x": ("FP32", list(values)), "meter": ("BYTES", [f"t{n}" for n in range(rows)])}
    kinds |= {"cost": ("FP64", [2.5] * rows), "state": ("BYTES", ["off"] * rows)}
    inputs = [
        {"name": name, "shape": [rows], "datatype": kind, "data": given}
        for name, (kind, given) in kinds.items()
    ]
    return {"model_name": "log", "inputs": inputs, **more}


def test_every_form_is_read_and_the_rows_keep_the_order_of_their_records() -> None:
    model_rows = model_rows_of(
        data(reading("a", 1.0), reading("b", 2.0)),
        json.dumps(tensors(3.0, 4.0)).encode(),
        gzip.compress(data(reading("c", 5.0), model=None)),
        json.dumps(reading("d", 6.0)).encode(),
        json.dumps({"records": [reading("e", 7.0)]}).encode(),
    )
    assert model_rows.record.tolist() == [0, 0, 1, 1, 2, 3, 4]
    assert model_rows.row.tolist() == [0, 1, 0, 1, 0, 0, 0]
    assert model_rows.batch.entities == ["a", "b", "t0", "t1", "c", "d", "e"]
    assert model_rows.batch.columns["x"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert model_rows.fields["cost"].tolist() == [1.5, 1.5, 2.5, 2.5, 1.5, 1.5, 1.5]
    assert model_rows.fields["state"].tolist() == ["on", "on", "off", "off", "on", "on", "on"]
    assert model_rows.times.tolist() == [NOW] * 7
    assert model_rows.counted.all()
    assert model_rows.batch.good.all()
    assert set(model_rows.batch.columns) == {"x", "y"}


def test_a_row_that_is_refused_keeps_its_place_between_tensors_and_records() -> None:
    model_rows = model_rows_of(
        json.dumps(tensors(1.0)).encode(),
        data({"meter": "m", "x": "three", "cost": 1, "state": "on"}),
        json.dumps(tensors(2.0)).encode(),
    )
    assert model_rows.batch.good.tolist() == [True, False, True]
    assert [str(r) for r in model_rows.batch.refusals] == [
        "row 1: x: expected a number (float32), got 'three'"
    ]


def test_models_come_apart_and_the_default_is_for_records_that_name_none() -> None:
    shop = OnnxModel(models.SHOP, models.shop_graph())
    meter = OnnxModel(METER, models.log_graph())
    found = decode(
        shard_batch(
            data(reading()),
            data({"customer": "c", "amount": 3.0}, model="shop"),
            data(reading(), model=None),
        ),
        {"log": meter, "shop": shop}.__getitem__,
        "log",
    )
    assert [(model, model_rows.record.tolist()) for model, model_rows in found.by_model] == [
        (meter, [0, 2]),
        (shop, [1]),
    ]
    assert found.undecodable == []
    assert found.by_model[1][1].fields == {}


# ---- what cannot be read ------------------------------------------------------------------------

KPL = b"\xf3\x89\x9a\xc2" + b"\x0a\x03key" + b"\x00" * 16
JSON = ("data", "JSON in UTF-8 with finite numbers")


@pytest.mark.parametrize(
    ("record", "field", "expected", "got"),
    [
        (b"", "data", "JSON", "nothing"),
        (b"\xff\xfe\x00", *JSON, "str is not valid UTF-8: surrogates not allowed"),
        (b"no", *JSON, "unexpected character: line 1 column 1 (char 0)"),
        (b'{"x": NaN}', *JSON, "unexpected character: line 1 column 7 (char 6)"),
        (b'{"x": 1e999}', *JSON, "number is infinity when parsed as double"),
        (b'{"x": 1, "x": 2}', "data", "each key once", "'x' twice"),
        (
            b'{"x": 12345678901234567890123}',
            "data",
            "numbers of 1e21 and more with an exponent",
            None,
        ),
        (b"[" * 2000 + b"]" * 2000, *JSON, "recursion limit exceeded"),
        (b"3", "data", "an object or an array", "a number"),
        (b"null", "data", "an object or an array", "null"),
        (b"[]", "records", "at least one row", "none"),
        (b'{"model": "log", "records": []}', "records", "at least one row", "none"),
        (b'{"model": "log", "records": 3}', "records", "an array of objects", "a number"),
        (
            b'{"model": "log", "records": [{}], "partial": true}',
            "data",
            'the keys "model" and "records", and optionally "id"',
            "'partial'",
        ),
        (b'{"model": 3, "records": [{}]}', "model", "the name of a model", "3"),
        (b'{"model": "../x", "records": [{}]}', "model", "the name of a model", "'../x'"),
        (gzip.compress(b"{}")[:-5], "data", "one whole gzip", "less or more than one"),
        (gzip.compress(b"{}") + b"x", "data", "one whole gzip", "less or more than one"),
        (b"\x1f\x8bgzip?", "data", "a whole gzip", "a damaged one"),
        (
            gzip.compress(b" " * (MAX_BYTES + 1)),
            "data",
            "at most 4500000 bytes unpacked",
            "more",
        ),
        (
            KPL,
            "data",
            "records that the producer does not aggregate: AggregationEnabled = false",
            "an aggregated record of the KPL",
        ),
    ],
)
def test_what_cannot_be_read_is_named(
    record: bytes, field: str, expected: str, got: str | None
) -> None:
    reasons, model = refused(record)
    assert [reason[:2] for reason in reasons] == [(field, expected)]
    if got is not None and field != "data":
        assert reasons[0][2] == got
    assert model is None


@pytest.mark.parametrize(
    ("record", "model", "field", "expected"),
    [
        (data({}, model="nosuch"), "nosuch", "model", "a published model"),
        (data({}, model="broken"), "broken", "model", "one that loads"),
        (data(*[reading()] * 11), "log", "records", "at most 10 rows"),
        (json.dumps(tensors()).encode(), "log", "x", "at least one row"),
        (json.dumps(tensors(*[1.0] * 11)).encode(), "log", "x", "at most 10 rows"),
        (json.dumps({"inputs": 3}).encode(), "log", "inputs", "an array of tensors"),
        (
            json.dumps({"inputs": [], "model_name": "log"}).encode(),
            "log",
            "inputs",
            "at least one tensor",
        ),
        (
            json.dumps(tensors(1.0, extra=True)).encode(),
            "log",
            "data",
            "keys of id, inputs, model_name, model_version, outputs, parameters",
        ),
        (
            json.dumps(
                {"inputs": [{"name": "cost", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
            ).encode(),
            "log",
            "cost",
            "one value for each row",
        ),
    ],
)
def test_a_record_that_is_refused_whole_names_its_model(
    record: bytes, model: str, field: str, expected: str
) -> None:
    reasons, found = refused(record)
    assert [reason[:2] for reason in reasons] == [(field, expected)]
    assert found == model


def test_a_record_without_a_model_is_refused_where_the_stream_has_none() -> None:
    record = json.dumps(reading()).encode()
    reasons, model = refused(record, default="")
    assert model is None
    expected = "the name of a model; the stream has no default model"
    assert reasons == [("model", expected, "nothing")]


def test_a_record_may_be_as_large_as_a_request_of_its_model() -> None:
    large = data(reading(note="n" * 1_000_000))
    small = replace(METER, limits=Limits(rows=10, bytes=1_000_000))
    assert refused(large, contract=small)[0] == [("data", "at most 1000000 bytes", str(len(large)))]
    assert not model_rows_of(large).batch.good.any()  # it has a field that is none of the model's


# ---- rows -------------------------------------------------------------------------------------


def rows_refused(*rows: Any, contract: Contract = METER) -> tuple[list[Reason], list[bool]]:
    """What is refused of rows of one record, and which of them are aggregated."""
    model_rows = model_rows_of(data(*rows), contract=contract)
    assert {r.row for r in model_rows.batch.refusals} == set(
        np.flatnonzero(~model_rows.batch.good).tolist()
    )
    return [
        (r.field, r.expected, r.got) for r in model_rows.batch.refusals
    ], model_rows.counted.tolist()


def test_a_row_is_refused_for_what_the_aggregates_need_of_it() -> None:
    reasons, counted = rows_refused(
        reading(),
        reading(cost="dear"),
        reading(cost=True),
        {"meter": "m", "x": 1.0, "state": "on"},
        reading(state=[1]),
        reading(meter=None),
        reading(meter=7),
        "row",
    )
    assert counted == [True, False, False, False, False, False, True, False]
    assert sorted(reasons) == sorted(
        [
            ("cost", "a number", "'dear'"),
            ("cost", "a number", "true"),
            ("cost", "a number", "nothing"),
            ("state", "a number or a string", "[1]"),
            ("meter", "the entity key", "nothing"),
            ("record", "an object", "'row'"),
        ]
    )


def test_a_row_that_the_model_refuses_is_aggregated_all_the_same() -> None:
    ranged = replace(
        METER, features=(Feature(name="x", dtype="float32", range=(0, 10)), METER.features[1])
    )
    model_rows = model_rows_of(data(reading(x=11.0), reading(other=1)), contract=ranged)
    assert model_rows.counted.tolist() == [True, True]
    assert model_rows.fields["x"].tolist() == [11.0, 2.0]


def test_a_feature_that_is_of_another_kind_is_not_aggregated() -> None:
    reasons, counted = rows_refused(reading(x="2"), reading(x=None), reading(x=3))
    assert counted == [False, False, True]
    assert [reason[0] for reason in reasons] == ["x", "x"]


def test_aggregates_see_what_the_record_says_and_the_defaults() -> None:
    contract = replace(
        METER, stream=Stream(aggregates=(Aggregate(name="y_sum", how="sum", of="y"),))
    )
    row = {"meter": "m", "x": 1.0}
    model_rows = model_rows_of(data({**row, "y": 0.1}, row), contract=contract)
    # 0.1 itself, not as float32 has it
    assert model_rows.fields["y"].tolist() == [0.1, 0.0]


def test_texts_and_numbers_in_one_field_are_texts() -> None:
    model_rows = model_rows_of(data(reading(state="on"), reading(state=1), reading(state=2.5)))
    assert model_rows.fields["state"].tolist() == ["on", "1", "2.5"]
    assert model_rows_of(data(reading(state=1))).fields["state"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        (NOW - 5, NOW - 5),
        (int(NOW), NOW),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T08:00:00", NOW),
        ("2027-01-15T09:00:00+01:00", NOW),
        (NOW + 300, NOW + 300),
        (-5, -5.0),
    ],
)
def test_times_of_records(at: Any, moment: float) -> None:
    row = {"meter": "m", "x": 1.0, "at": at}
    assert model_rows_of(data(row), contract=TIMED).times.tolist() == [moment]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOW + 301, "a time that is not in the future"),
        ("2027-01-15T08:05:01Z", "a time that is not in the future"),
        (NOW * 1000, "a time that is not in the future"),  # milliseconds
        ("yesterday", "a time: epoch seconds, or ISO 8601"),
        (None, "a time: epoch seconds, or ISO 8601"),
        (True, "a time: epoch seconds, or ISO 8601"),
    ],
)
def test_times_that_are_refused(at: Any, expected: str) -> None:
    row = {"meter": "m", "x": 1.0}
    reasons, counted = rows_refused(
        {**row, "at": NOW}, {**row, "at": at}, {**row, "at": "2027-01-15T08:00:00Z"}, contract=TIMED
    )
    assert [reason[:2] for reason in reasons] == [("at", expected)]
    assert counted == [True, False, True]


# ---- all at once --------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.binary(max_size=20),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b'{"a":1,"a":2}', b'{"a":":","b":"c:d"}', b'{"a" :1,"a" :2}', b'"1":2']),
)


@given(st.lists(TEXTS, max_size=5))
def test_texts_are_parsed_together_as_each_is_alone(texts: list[bytes]) -> None:
    def alone(text: bytes) -> Any:
        try:
            return strict_json.parse(text)
        except BadInput as error:
            return str(error)

    together = [
        str(found) if isinstance(found, BadInput) else found
        for found in strict_json.parse_all(texts)
    ]
    assert together == [alone(text) for text in texts]


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_no_data_raises_and_every_record_ends_somewhere(records: list[bytes]) -> None:
    found = decoded(*records)
    rows = {int(record) for _, model_rows in found.by_model for record in model_rows.record}
    broken = {item.record for item in found.undecodable}
    assert rows | broken == set(range(len(records)))
    assert rows & broken == set()
    assert all(item.reasons for item in found.undecodable)


# ---- the straight way ---------------------------------------------------------------------------

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(-5, 5),
    st.sampled_from([2**63, 2**64, 1e300, True, None, "text", "a:b", "\u00e9", [1.0, 2.0], [], {}]),
)
WIDE = models.renamed(
    METER,
    features=(
        Feature(name="x", dtype="float32"),
        Feature(name="y", dtype="int8"),
        Feature(name="ticks", dtype="int64"),
        Feature(name="pair", dtype="float64", shape=(2,)),
        Feature(name="text", dtype="string"),
        Feature(name="flag", dtype="bool"),
    ),
    stream=Stream(
        aggregates=(
            Aggregate(name="x_sum", how="sum", of="x"),
            Aggregate(name="y_max", how="max", of="y"),
            Aggregate(name="spent", how="sum", of="cost"),
            Aggregate(name="state", how="last", of="state"),
            Aggregate(name="text", how="distinct", of="text"),
            Aggregate(name="flagged", how="mean", of="flag"),
        )
    ),
)


def plain_row(**more: Any) -> dict[str, Any]:
    """A row of WIDE."""
    row = {"x": 1.5, "y": 3, "ticks": 2**62, "pair": [1.0, 2.5], "text": "t", "flag": True}
    return {**row, "meter": "m", "cost": 2.5, "state": "on", **more}


def shown(found: Decoded) -> Any:
    """All that was read, to compare."""
    by_model = [
        (
            model_rows.record.tolist(),
            model_rows.row.tolist(),
            {name: (c.dtype, c.shape, c.tolist()) for name, c in model_rows.batch.columns.items()},
            model_rows.batch.entities,
            [str(refusal) for refusal in model_rows.batch.refusals],
            {name: (column.dtype, column.tolist()) for name, column in model_rows.fields.items()},
            model_rows.times.tolist(),
            model_rows.counted.tolist(),
        )
        for _, model_rows in found.by_model
    ]
    return by_model, [(item.record, item.model, item.reasons) for item in found.undecodable]


@given(
    st.lists(st.dictionaries(st.sampled_from(list(plain_row())), VALUES, max_size=1), min_size=1),
    st.sampled_from(["bare", "enveloped", "several"]),
)
def test_the_straight_way_and_the_general_one_come_to_the_same(
    changes: list[dict[str, Any]], form: str
) -> None:
    rows = [plain_row(**change) for change in changes]
    if form == "several":
        records = [data(*rows[start : start + 3]) for start in range(0, len(rows), 3)]
    else:
        records = [json.dumps(r).encode() if form == "bare" else data(r) for r in rows]
    # a gzip and a record of another form keep all from the straight way
    packed = [*map(gzip.compress, records), b"[]"]
    by_model, undecodable = shown(decoded(*packed, contract=WIDE))
    assert undecodable.pop()[0] == len(records)
    assert shown(decoded(*records, contract=WIDE)) == (by_model, undecodable)


@pytest.mark.parametrize(
    ("records", "straight"),
    [
        ([data(plain_row()), data(plain_row(), plain_row())], True),
        ([json.dumps(plain_row()).encode()] * 2, True),
        ([data(plain_row(x=2))], True),
        ([data(plain_row(text="a:b"))], True),
        ([data(plain_row(text='a":b'))], False),
        ([data(plain_row()), json.dumps(plain_row()).encode()], False),
        ([data(plain_row()), data(plain_row(), model="other")], False),
        ([data(plain_row()), data(plain_row()).replace(b'{"model":', b'{ "model" :')], True),
        ([data(plain_row()), data(plain_row()).replace(b'"model": "log", ', b"")], False),
        ([data(plain_row()), data(plain_row()).replace(b'"log"', b"null")], False),
        ([data(plain_row()), data(plain_row()).replace(b'"log"', b'"x", "model": "log"')], False),
        ([data(plain_row()), data()], False),
        ([data(plain_row(y=-128, cost=7), plain_row(y=127, flag=False))], True),
        ([data(plain_row(y=-129))], False),
        ([data(plain_row(flag=1))], False),
        ([data(plain_row(x=2**63))], False),
        ([data(plain_row(cost=2**63))], False),
        ([data(plain_row(x="1"))], False),
        ([data(plain_row(y=300))], False),
        ([data(plain_row(pair=[1.0]))], False),
        ([data(plain_row(meter=""))], False),
        ([data(plain_row(more=1))], False),
        ([json.dumps(plain_row()).encode()[:-1] + b', "x": 1.5}'], False),
        (
            [json.dumps(plain_row(x=0)).encode().replace(b": 0,", b": 12345678901234567890123,")],
            False,
        ),
        ([json.dumps(plain_row()).encode() + b" x"], False),
        ([json.dumps(plain_row()).encode().replace(b'"t"', b'"\\ud800"')], False),
        ([json.dumps(plain_row()).encode().replace(b'"t"', b'"\xff"')], False),
        ([json.dumps(plain_row()).encode().replace(b"1.5", b"1e999")], False),
        ([json.dumps(plain_row()).encode().replace(b"1.5", b"NaN")], False),
        ([json.dumps(plain_row()).encode().replace(b'"t"', b'"\x01"')], False),
    ],
)
def test_what_goes_the_straight_way(records: list[bytes], straight: bool) -> None:
    """What is at all odd is left to the general way, which knows what to say of it."""
    model = "log" if records[0].startswith(b'{"model"') else None
    assert (decode_typed(WIDE, records, model) is not None) == straight


def test_a_float_that_its_dtype_cannot_hold_goes_the_general_way() -> None:
    half = Feature(name="x", dtype="float16")
    contract = replace(METER, features=(half, *METER.features[1:]))
    for value, straight in ((60_000.0, True), (-60_000.0, True), (70_000.0, False)):
        record = data(reading(x=value, y=1.0))
        assert (decode_typed(contract, [record], "log") is not None) == straight
        (found,) = decoded(record, contract=contract).by_model
        assert found[1].batch.columns["x"].tolist() == [value if straight else np.inf]
