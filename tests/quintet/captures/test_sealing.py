"""Encrypted sensitive features: what is written, and who opens it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from arro3 import core
from tests.kits.models import CONTRACTS, ECHO, LOG, NOW, ROWS, SHOP, TEXT, Clock, online

from quintet.captures.compaction import unique
from quintet.captures.features import feature_columns
from quintet.captures.lines import prediction_lines
from quintet.captures.opening import KEPT_SECONDS, MOST_KEYS, Opener
from quintet.captures.plans import CapturePlan
from quintet.captures.reading import read_lines
from quintet.captures.sealing import RETRY_SECONDS, MemoryKeys, Sealer
from quintet.captures.tables import concat, read_parquet, refused_of, scored, write_parquet
from quintet.columns import Array, from_records
from quintet.contract import Capture, Contract
from quintet.errors import Transient
from quintet.serving import ModelRoute, Prediction
from quintet.serving.predict import predict
from quintet.serving.prediction import in_caller_order

PLANTED = "planted-4c1d"
ENCRYPTED = Capture(days=7, sensitive="encrypted")
SEALED = replace(TEXT, capture=ENCRYPTED)


def sealing(contract: Contract) -> Contract:
    """A contract all of whose features are captured encrypted."""
    features = tuple(replace(feature, sensitive=True) for feature in contract.features)
    return replace(contract, features=features, capture=ENCRYPTED)


def answered(contract: Contract, records: Sequence[dict[str, Any]]) -> Prediction:
    service = online(contract)
    route = ModelRoute(service.models.get(contract.name), "live")
    batch = from_records(contract, list(records))
    found = in_caller_order(predict(route, batch, service.features, NOW, isolate="rows"))
    found.rollout = "r1#0"
    return found


def lines_of(prediction: Prediction, seal: Sealer | None, event: str = "e1") -> list[str]:
    plan: CapturePlan = prediction.contract.compiled[CapturePlan]
    told = {"event": event, "event_time": NOW, "path": "online", "route": "live"}
    with_seal = None if seal is None else seal.seal
    return [line.decode() for line in prediction_lines(plan, told, prediction, seal=with_seal)]


def stored(lines: Sequence[str]) -> core.Table:
    """The rows of lines, as they are read from their objects."""
    found, unreadable = read_lines(lines)
    assert unreadable == 0
    return concat([read_parquet(write_parquet(one.rows)) for one in found.values()])


def sealer(keys: MemoryKeys, told: list[str] | None = None, clock: Any = None) -> Sealer:
    return Sealer(keys, clock or Clock(), ([] if told is None else told).append)


def texts(contract: Contract, rows: core.Table) -> list[str | None]:
    """The values of the feature `text`, where they were opened."""
    return list(rows["feature_text"].to_pylist()) if "feature_text" in rows.column_names else []


@pytest.mark.parametrize("name", CONTRACTS)
def test_what_is_sealed_opens_as_it_was_served(name: str) -> None:
    """Every dtype and shape: the opened columns are those that a plain capture has."""
    plain = replace(CONTRACTS[name], capture=ENCRYPTED)
    contract = sealing(plain)
    records = [{key: ROWS[name][key][0] for key in ROWS[name] if key in asked(contract)}]
    records[0] |= {"customer": "c1"} if name == "shop" else {}
    keys = MemoryKeys()
    rows = stored(lines_of(answered(contract, records), sealer(keys)))
    assert not any(column.startswith("feature_") for column in rows.column_names)
    opened, failed = Opener(keys, Clock()).open(contract, rows)
    assert failed == 0
    wanted = stored(lines_of(answered(plain_of(plain), records), None))
    index = np.arange(rows.num_rows)
    found, expected = (feature_columns(contract, table, index) for table in (opened, wanted))
    assert found.keys() == expected.keys() == {one.name for one in contract.features}
    for feature, values in expected.items():
        assert found[feature].dtype == values.dtype
        np.testing.assert_equal(listed(found[feature]), listed(values))


def plain_of(contract: Contract) -> Contract:
    features = tuple(replace(feature, sensitive=False) for feature in contract.features)
    return replace(contract, features=features)


def listed(values: Array) -> list[Any]:
    return [one.tolist() if isinstance(one, np.ndarray) else one for one in values]


def test_the_values_are_in_no_line_and_no_object() -> None:
    keys = MemoryKeys()
    records = [{"text": f"{PLANTED} {number}"} for number in range(3)]
    prediction = answered(SEALED, records)
    lines = lines_of(prediction, sealer(keys))
    direct = scored(
        SEALED.compiled[CapturePlan],
        prediction,
        slice(None),
        {"event": ["s1", "s1", "s2"], "row": np.array([0, 1, 0])},
        seal=sealer(keys).seal,
    )
    body = write_parquet(stored(lines))
    for written in ("\n".join(lines).encode(), body, write_parquet(direct)):
        assert PLANTED.encode() not in written
        assert base64.b64encode(PLANTED.encode())[:-4] not in written
    for rows in (read_parquet(body), direct):
        opened, failed = Opener(keys, Clock()).open(SEALED, rows)
        assert (texts(SEALED, opened), failed) == ([one["text"] for one in records], 0)


def test_without_a_key_of_the_stage_the_features_are_left_out() -> None:
    rows = stored(lines_of(answered(SEALED, [{"text": "shirt"}]), None))
    assert {"sealed", "sealed_key"}.isdisjoint(rows.column_names)
    assert Opener(MemoryKeys(), Clock()).open(SEALED, rows) == (rows, 0)


def test_rows_that_no_rollout_has_routed_are_not_sealed_as_nobody_would_open_them() -> None:
    keys, prediction = MemoryKeys(), answered(SEALED, [{"text": "shirt"}])
    prediction.rollout = ""
    plan: CapturePlan = SEALED.compiled[CapturePlan]
    seal = sealer(keys)
    assert "sealed" not in lines_of(prediction, seal)[0]
    direct = scored(plan, prediction, slice(None), {"event": "s1"}, seal=seal.seal)
    assert "sealed" not in direct.column_names
    assert keys.calls == 0


def test_a_model_that_drops_its_sensitive_features_makes_no_data_key() -> None:
    keys = MemoryKeys()
    for contract in (replace(TEXT, capture=Capture()), replace(SHOP, capture=ENCRYPTED)):
        records = [{"text": "shirt", "customer": "c1", "amount": 1}]
        sent = [{key: one[key] for key in one if key in asked(contract)} for one in records]
        lines = lines_of(answered(contract, sent), sealer(keys))
        assert "sealed" not in lines[0]
    assert keys.calls == 0


def asked(contract: Contract) -> set[str]:
    return {*contract.by_key, contract.entity or ""}


def test_an_environment_makes_one_data_key_and_no_two_rows_are_sealed_alike() -> None:
    keys = MemoryKeys()
    seal = sealer(keys)
    prediction = answered(SEALED, [{"text": "same"}] * 2)
    rows = stored([*lines_of(prediction, seal, "e1"), *lines_of(prediction, seal, "e2")])
    assert keys.calls == 1
    assert len(set(rows["sealed"].to_pylist())) == 4
    assert len(set(rows["sealed_key"].to_pylist())) == 1


def moved(rows: core.Table) -> core.Table:
    """The sealed texts of two rows, each in the other's place."""
    return altered(rows, lambda texts: texts[::-1])


def tampered(rows: core.Table) -> core.Table:
    """The first row's sealed text with another last byte."""

    def change(texts: list[str]) -> list[str]:
        sealed = bytearray(base64.b64decode(texts[0]))
        sealed[-1] ^= 1
        return [base64.b64encode(sealed).decode(), *texts[1:]]

    return altered(rows, change)


def cut(rows: core.Table) -> core.Table:
    """The first row's sealed text, shorter than a nonce; the second's is no base64."""
    return altered(rows, lambda _: ["AAAA", "!"])


def without_key(rows: core.Table) -> core.Table:
    """The first row without its key; the second with one that is no base64."""
    return altered(rows, lambda _: [None, "!"], "sealed_key")


def altered(
    rows: core.Table, change: Callable[[list[Any]], list[Any]], name: str = "sealed"
) -> core.Table:
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names}
    column = core.Array(change(list(rows[name].to_pylist())), core.DataType.string())
    columns[name] = core.ChunkedArray([column])
    return core.Table.from_pydict(columns)


@pytest.mark.parametrize(
    ("change", "left"),
    [(moved, []), (tampered, [None, "b"]), (cut, []), (without_key, [])],
    ids=["moved", "tampered", "cut", "without a key"],
)
def test_a_row_that_is_not_as_it_was_sealed_does_not_open(
    change: Callable[[core.Table], core.Table], left: list[str | None]
) -> None:
    keys = MemoryKeys()
    rows = stored(lines_of(answered(SEALED, [{"text": "a"}, {"text": "b"}]), sealer(keys)))
    opened, failed = Opener(keys, Clock()).open(SEALED, change(rows))
    assert texts(SEALED, opened) == left
    assert failed == 2 - sum(one is not None for one in left)


def test_another_version_or_another_stages_key_opens_nothing() -> None:
    keys = MemoryKeys()
    rows = stored(lines_of(answered(SEALED, [{"text": "a"}]), sealer(keys)))
    for opener, contract in (
        (Opener(keys, Clock()), replace(SEALED, version=9)),
        (Opener(MemoryKeys(), Clock()), SEALED),
    ):
        opened, failed = opener.open(contract, rows)
        assert (texts(contract, opened), failed) == ([], 1)


def test_a_disabled_key_opens_nothing_until_it_is_enabled() -> None:
    """Data keys in memory open for some minutes more."""
    keys, clock = MemoryKeys(), Clock()
    rows = stored(lines_of(answered(SEALED, [{"text": "a"}]), sealer(keys)))
    opener = Opener(keys, clock)
    assert texts(SEALED, opener.open(SEALED, rows)[0]) == ["a"]
    keys.enabled = False
    assert opener.open(SEALED, rows)[1] == 0
    clock.now += KEPT_SECONDS
    assert opener.open(SEALED, rows)[1] == 1
    keys.enabled = True
    opened, failed = opener.open(SEALED, rows)
    assert (texts(SEALED, opened), failed) == (["a"], 0)


def test_rows_of_several_environments_are_opened_together() -> None:
    """Merged as `compact` does it, with rows of a time when the stage had no key."""
    keys = MemoryKeys()
    parts = [
        stored(lines_of(answered(SEALED, [{"text": event}]), seal, event))
        for event, seal in (("a", sealer(keys)), ("b", None), ("c", sealer(keys)))
    ]
    opened, failed = Opener(keys, Clock()).open(SEALED, unique(concat(parts)))
    assert (texts(SEALED, opened), failed) == (["a", None, "c"], 0)


def test_data_keys_are_kept_and_their_number_is_bounded() -> None:
    keys = MemoryKeys()
    prediction = answered(SEALED, [{"text": "a"}])
    tables = [stored(lines_of(prediction, sealer(keys), f"e{number}")) for number in range(2)]
    opener = Opener(keys, Clock())
    made = keys.calls
    for rows in (*tables, *tables):
        assert opener.open(SEALED, rows)[1] == 0
    assert keys.calls == made + 2
    for _ in range(MOST_KEYS):
        opener._cipher(base64.b64encode(keys.make().wrapped).decode())
    before = keys.calls
    opener.open(SEALED, tables[0])
    assert keys.calls == before + 1


def test_a_key_service_that_fails_is_told_once_and_asked_once_a_minute() -> None:
    keys, told, clock = MemoryKeys(), list[str](), Clock()
    keys.enabled = False
    seal, prediction = sealer(keys, told, clock), answered(SEALED, [{"text": "a"}])
    for _ in range(3):
        assert "sealed" not in lines_of(prediction, seal)[0]
    assert (keys.calls, told) == (1, ["the key is disabled"])
    clock.now += RETRY_SECONDS
    assert "sealed" not in lines_of(prediction, seal)[0]
    assert (keys.calls, len(told)) == (2, 1)
    keys.enabled = True
    assert "sealed" not in lines_of(prediction, seal)[0]
    clock.now += RETRY_SECONDS
    assert "sealed" in lines_of(prediction, seal)[0]
    assert (keys.calls, len(told)) == (3, 1)


def test_a_service_that_does_not_answer_is_asked_again_by_who_opens() -> None:
    keys = MemoryKeys()
    rows = stored(lines_of(answered(SEALED, [{"text": "a"}]), sealer(keys)))

    class Away:
        """A key service that does not answer."""

        def unwrap(self, wrapped: bytes) -> bytes | None:
            """See `WrappedKeys.unwrap`."""
            raise Transient("kms did not answer")

    with pytest.raises(Transient, match="kms did not answer"):
        Opener(Away(), Clock()).open(SEALED, rows)


def test_a_request_that_is_split_or_cut_is_sealed_row_by_row() -> None:
    """Large rows: several lines, whose rows open all; a row too large by itself has no features."""
    keys = MemoryKeys()
    records = [{"text": f"{number}" * 40_000} for number in range(6)]
    records.append({"text": "x" * 190_000})
    lines = lines_of(answered(SEALED, records), sealer(keys))
    assert len(lines) > 2
    opened, failed = Opener(keys, Clock()).open(SEALED, unique(stored(lines)))
    assert failed == 0
    assert texts(SEALED, opened) == [one["text"] for one in records[:-1]] + [None]
    assert opened["without_features"].to_pylist() == [False] * 6 + [True]


def test_a_line_says_which_columns_are_encrypted() -> None:
    line = json.loads(lines_of(answered(SEALED, [{"text": "a"}]), sealer(MemoryKeys()))[0])
    assert line["features"] == []
    assert (len(line["sealed"]), isinstance(line["sealed_key"], str)) == (1, True)


def test_the_largest_and_the_smallest_values_keep_their_bits() -> None:
    contract = sealing(ECHO)
    record = {name: values[0] for name, values in ROWS["echo"].items()}
    record |= {"in_float32": [0.1, 1e-7], "in_float16": [0.1, 2], "in_int64": [2**52 + 1, -1]}
    keys = MemoryKeys()
    prediction = answered(contract, [record])
    opened, _ = Opener(keys, Clock()).open(contract, stored(lines_of(prediction, sealer(keys))))
    found = feature_columns(contract, opened, np.array([0]))
    for name, values in prediction.batch.columns.items():
        np.testing.assert_equal(listed(found[name]), listed(values))


def test_rows_that_the_model_failed_on_are_sealed_where_a_rollout_asks_the_other_version() -> None:
    """As a stream writes them, without lines."""
    contract = sealing(LOG)
    prediction = answered(contract, [{"x": 2.0, "y": 1.0}, {"x": 0.0, "y": 1.0}])
    plan: CapturePlan = contract.compiled[CapturePlan]
    keys, (refusal,) = MemoryKeys(), prediction.scores.refusals

    def fixed(rows: Array) -> dict[str, Any]:
        return {"event": ["s9"] * len(rows), "row": rows + 7}

    for refusals, wanted in (([[refusal]], [(8, 0.0)]), ([[]], [(8, None)])):
        rows = refused_of(plan, prediction, np.array([1]), refusals, fixed, seal=sealer(keys).seal)
        opened, failed = Opener(keys, Clock()).open(contract, rows)
        x = opened["feature_x"].to_pylist() if wanted[0][1] is not None else [None]
        assert (list(zip(opened["row"].to_pylist(), x, strict=True)), failed) == (wanted, 0)
