"""`quintet features load`, from files to the feature store's table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from arro3 import core
from arro3 import io as arro3_io
from tests.functions.conftest import OnlineAws
from tests.kits.models import NOW, SHOP, Clock, renamed
from typer.testing import CliRunner

from quintet.aws.captures import CaptureBucket
from quintet.aws.client import AwsClient
from quintet.aws.features import FeatureTable
from quintet.captures.history import HISTORY, read_history
from quintet.contract import Contract, Feature
from quintet.errors import BadInput, NotFound, Transient
from quintet.features import StoredValue
from quintet_cli.app import app
from quintet_cli.feature_files import FeatureRow, read
from quintet_cli.feature_loader import FeatureLoader

STORED = (
    Feature(name="spend", dtype="float32", source="store", range=(0, None)),
    Feature(name="orders", dtype="int32", source="store"),
    Feature(name="country", dtype="string", source="store", categories=("FR", "UK")),
    Feature(name="member", dtype="bool", source="window"),
)
CONTRACT: Contract = renamed(SHOP, features=(*SHOP.features[:2], *STORED))


def csv(path: Path, text: str) -> Path:
    file = path / "features.csv"
    file.write_text(text)
    return file


def test_a_csv_is_rows_of_its_features(tmp_path: Path) -> None:
    file = csv(
        tmp_path,
        "customer,spend,orders,country,member,at\n"
        "c1,0.1,3,FR,true,1700000000.5\n"
        '"c,2",7,,UK,,2023-11-14T22:13:20Z\n'
        "3,,1.0,,false,2023-11-14 22:13:20\n",
    )
    found = read(CONTRACT, file, NOW)
    assert found.features == ("spend", "orders", "country", "member")
    assert found.refusals == []
    assert found.rows == [
        FeatureRow("c1", NOW + 0.5, {"spend": 0.1, "orders": 3, "country": "FR", "member": True}),
        FeatureRow("c,2", NOW, {"spend": 7.0, "country": "UK"}),
        FeatureRow("3", NOW, {"orders": 1, "member": False}),
    ]


def test_columns_of_other_models_are_left_out(tmp_path: Path) -> None:
    file = csv(tmp_path, "customer,baskets,spend,segment\nc1,4,7,gold\n")
    found = read(CONTRACT, file, NOW)
    assert found.features == ("spend",)
    assert found.left_out == ("baskets", "segment")
    assert found.rows == [FeatureRow("c1", NOW, {"spend": 7.0})]


def test_the_entity_and_a_moment_are_no_misspelt_features(tmp_path: Path) -> None:
    cat = Feature(name="cat", dtype="float32", source="store")
    contract = renamed(CONTRACT, features=(*CONTRACT.features, cat))
    file = csv(tmp_path, "customer,spend,at\nc1,7,1700000000\n")
    found = read(contract, file, NOW)
    assert found.rows == [FeatureRow("c1", NOW, {"spend": 7.0})]


def test_parquet_gives_the_same(tmp_path: Path) -> None:
    file = tmp_path / "features.parquet"
    moments = np.array(["2023-11-14T22:13:20", "2023-11-14T22:13:21"], dtype="datetime64[us]")
    seconds = core.Array.from_numpy(moments.astype(np.int64))
    columns: dict[str, Any] = {
        "customer": core.Array(["c1", "c2"], core.DataType.string()),
        "spend": core.Array([0.1, None], core.DataType.float64()),
        "orders": core.Array.from_numpy(np.array([3, 4])),
        "at": seconds.cast(core.DataType.timestamp("us")),
    }
    arro3_io.write_parquet(core.Table.from_pydict(columns), str(file))
    assert read(CONTRACT, file, 0.0).rows == [
        FeatureRow("c1", NOW, {"spend": 0.1, "orders": 3}),
        FeatureRow("c2", NOW + 1, {"orders": 4}),
    ]


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        ("0", 0.0),
        ("0.0", 0.0),
        ("1970-01-01", 0.0),
        ("1970-01-01T00:00:00+00:00", 0.0),
        ("1700000000", 1.7e9),
        ("", NOW),
    ],
)
def test_a_moment_is_itself_and_no_moment_is_now(tmp_path: Path, at: str, moment: float) -> None:
    file = csv(tmp_path, f"customer,orders,at\nc1,1,{at}\n")
    assert read(CONTRACT, file, NOW).rows == [FeatureRow("c1", moment, {"orders": 1})]


@pytest.mark.parametrize(
    ("at", "hint"),
    [
        ("1700000000000", "are these milliseconds?"),
        ("1700000000000000", "are these microseconds?"),
        ("1700000000000000000", "are these nanoseconds?"),
        ("20261130", "is it the date 2026-11-30?"),
        ("20261130.0", "is it the date 2026-11-30?"),
        ("20261131", None),  # no date
        ("9999-12-31", ""),
        ("-1", ""),
        ("1_700_000_000", ""),
        ("true", ""),
        ("1e400", ""),
    ],
)
def test_an_implausible_moment_is_refused_with_a_hint(
    tmp_path: Path, at: str, hint: str | None
) -> None:
    found = read(CONTRACT, csv(tmp_path, f"customer,orders,at\nc1,1,{at}\n"), NOW)
    told = [(r.row, r.field, r.got) for r in found.refusals]
    assert told == ([] if hint is None else [(0, "at", f"{at!r} {hint}".rstrip())])


@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_moments_of_parquet_have_the_same_bounds(tmp_path: Path, kind: str) -> None:
    numbers = [0, 1_700_000_000, 1_700_000_000_000, 20261130]
    path = tmp_path / "features.parquet"
    columns: dict[str, Any] = {
        "customer": core.Array(["a", "b", "c", "d"], core.DataType.string()),
        "orders": core.Array([1, 2, 3, 4], core.DataType.int64()),
        "at": core.Array(numbers, getattr(core.DataType, kind)()),
    }
    arro3_io.write_parquet(core.Table.from_pydict(columns), str(path))
    found = read(CONTRACT, path, NOW)
    assert [(row.entity, row.at) for row in found.rows] == [("a", 0.0), ("b", 1.7e9)]
    assert [(r.row, r.got.partition(" ")[2]) for r in found.refusals] == [
        (2, "are these milliseconds?"),
        (3, "is it the date 2026-11-30?"),
    ]


def test_a_row_without_a_moment_describes_now(tmp_path: Path) -> None:
    assert read(CONTRACT, csv(tmp_path, "customer,orders\nc1,1\n"), 5.0).rows == [
        FeatureRow("c1", 5.0, {"orders": 1})
    ]


def test_a_row_without_known_at_is_known_since_now_in_a_file_that_has_it(tmp_path: Path) -> None:
    file = csv(tmp_path, "customer,orders,at,known_at\nc1,1,2,3\nc2,1,2,\nc3,1,2,soon\n")
    found = read(CONTRACT, file, 5.0)
    assert found.rows == [
        FeatureRow("c1", 2.0, {"orders": 1}, 3.0),
        FeatureRow("c2", 2.0, {"orders": 1}, 5.0),
    ]
    assert [(refusal.row, refusal.field) for refusal in found.refusals] == [(2, "known_at")]


def test_bad_rows_are_refused_with_their_reasons_and_the_others_kept(tmp_path: Path) -> None:
    file = csv(
        tmp_path,
        "customer,spend,orders,country,at\n"
        "c0,-1,1,FR,1\n"
        "c1,nan,1,FR,1\n"
        "c2,1,1.5,FR,1\n"
        "c3,1,1,DE,1\n"
        "c4,1,1,FR,yesterday\n"
        ",1,1,FR,1\n"
        "c6,1,1\n"
        "c7,1,1,FR,1\n",
    )
    found = read(CONTRACT, file, NOW)
    assert [row.entity for row in found.rows] == ["c7"]
    assert [(refusal.row, refusal.field) for refusal in found.refusals] == [
        (0, "spend"),
        (1, "spend"),
        (2, "orders"),
        (3, "country"),
        (4, "at"),
        (5, "customer"),
        (6, "row"),
    ]
    assert found.refused == 7


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("customer,nope\nc1,1\n", "columns"),
        ("customer,spend,oders\nc1,1,1\n", "oders"),
        ("custmer,spend\nc1,1\n", "custmer"),
        ("orders\n1\n", "customer"),
        ("customer,at\nc1,1\n", "columns"),
        ("customer,orders,orders\nc1,1,1\n", "features.csv"),
        ("customer,orders\n", "features.csv"),
        ("", "features.csv"),
        ('customer,orders\n"c1,1\n', "features.csv"),
    ],
)
def test_a_file_that_is_not_the_contracts_is_refused(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(CONTRACT, csv(tmp_path, text), NOW)
    assert field in {refusal.field for refusal in caught.value.refusals}


def test_a_damaged_parquet_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "features.parquet"
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput):
        read(CONTRACT, file, NOW)


# ---- the table -----------------------------------------------------------------------------------


@pytest.fixture
def key() -> str:
    """An entity key of the test's own, in the session's table."""
    return f"key-{uuid4()}"


def table(aws: OnlineAws) -> FeatureTable:
    return FeatureTable(AwsClient("dynamodb", environ=aws.environ), "features", clock=Clock())


def taken(value: Any, at: float) -> StoredValue:
    """A value that `load` stored."""
    return StoredValue(value, at, NOW)


def load(aws: OnlineAws, key: str, *rows: FeatureRow) -> int:
    loader = FeatureLoader(aws.client("dynamodb"), "features", key, NOW)
    return loader.load(rows, lambda _: None)


def test_rows_are_stored_with_their_moments(online_aws: OnlineAws, key: str) -> None:
    rows = [FeatureRow(f"e{n}", float(n), {"v": n, "s": "x", "b": True}) for n in range(130)]
    assert load(online_aws, key, *rows) == 130
    found = table(online_aws).fetch(key, [row.entity for row in rows], ["v", "s", "b"])
    assert found == {
        row.entity: {name: taken(value, row.at) for name, value in row.values.items()}
        for row in rows
    }


def test_older_values_never_overwrite_newer_ones(online_aws: OnlineAws, key: str) -> None:
    assert load(online_aws, key, FeatureRow("e", 10.0, {"v": 1, "w": 1})) == 1
    assert load(online_aws, key, FeatureRow("e", 9.0, {"v": 2, "w": 2})) == 0
    assert load(online_aws, key, FeatureRow("e", 10.0, {"v": 3})) == 0
    assert load(online_aws, key, FeatureRow("e", 11.0, {"v": 4})) == 1
    assert load(online_aws, key, FeatureRow("e", 10.5, {"v": 5, "w": 5, "new": 5})) == 1
    assert table(online_aws).fetch(key, ["e"], ["v", "w", "new"]) == {
        "e": {
            "v": taken(4, 11.0),
            "w": taken(5, 10.5),
            "new": taken(5, 10.5),
        }
    }


def test_of_several_rows_of_an_entity_the_newest_is_stored(online_aws: OnlineAws, key: str) -> None:
    rows = (
        FeatureRow("e", 2.0, {"v": 2, "w": 2}),
        FeatureRow("e", 3.0, {"v": 3}),
        FeatureRow("e", 1.0, {"v": 1, "x": 1}),
    )
    assert load(online_aws, key, *rows) == 1
    assert table(online_aws).fetch(key, ["e"], ["v", "w", "x"]) == {
        "e": {"v": taken(3, 3.0), "w": taken(2, 2.0), "x": taken(1, 1.0)}
    }


def test_what_becomes_newer_while_loading_stays(online_aws: OnlineAws, key: str) -> None:
    load(online_aws, key, FeatureRow("e", 1.0, {"v": 1, "w": 1}))
    client = online_aws.client("dynamodb")
    racing = FeatureLoader(Racing(client, online_aws, key), "features", key, NOW)
    assert racing.load([FeatureRow("e", 5.0, {"v": 5, "w": 5})], lambda _: None) == 1
    assert table(online_aws).fetch(key, ["e"], ["v", "w"]) == {
        "e": {"v": taken(9, 9.0), "w": taken(5, 5.0)}
    }


class Racing:
    """A client just after whose reads another writer comes."""

    def __init__(self, client: Any, aws: OnlineAws, key: str) -> None:
        self._client = client
        self._aws = aws
        self._key = key

    def batch_get_item(self, **request: Any) -> Any:
        """Read, then let the other write."""
        found = self._client.batch_get_item(**request)
        load(self._aws, self._key, FeatureRow("e", 9.0, {"v": 9}))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Busy:
    """A client of a table that leaves some keys and items undone at first."""

    def __init__(self, rounds: int) -> None:
        self._left = rounds
        self.written: list[Any] = []

    def batch_get_item(self, RequestItems: Any) -> Any:
        return {"Responses": {}, "UnprocessedKeys": self._undone(RequestItems)}

    def batch_write_item(self, RequestItems: Any) -> Any:
        undone = self._undone(RequestItems)
        self.written += [] if undone else RequestItems["features"]
        return {"UnprocessedItems": undone}

    def _undone(self, request: Any) -> Any:
        self._left -= 1
        return request if self._left >= 0 else {}


def test_what_a_busy_table_leaves_undone_is_sent_again_after_a_wait() -> None:
    waits: list[float] = []
    client = Busy(rounds=9)
    loader = FeatureLoader(client, "features", "customer", NOW, waits.append)
    assert loader.load([FeatureRow("e", 1.0, {"v": 1})], lambda _: None) == 1
    assert len(client.written) == 1
    ceilings = [0.05 * 2**number for number in range(9)]
    ceilings = [min(ceiling, 10.0) for ceiling in ceilings]
    assert len(waits) == len(ceilings)
    assert all(0 <= wait <= most for wait, most in zip(waits, ceilings, strict=True))


def test_a_table_that_stays_busy_is_given_up() -> None:
    loader = FeatureLoader(Busy(rounds=100), "features", "customer", NOW, lambda _: None)
    with pytest.raises(Transient, match="leaves keys unread"):
        loader.load([FeatureRow("e", 1.0, {"v": 1})], lambda _: None)


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture
def state(online_aws: OnlineAws, tmp_path: Path) -> Path:
    """The state folder of a local AWS that is the test's moto."""
    outputs = {
        "RegistryTableName": "registry",
        "RegistryBucketName": "registry-bucket",
        "FeaturesTableName": "features",
        "CapturesBucketName": "captures-bucket",
    }
    local = {"endpoint_url": online_aws.url, "api_url": "", "outputs": outputs}
    (tmp_path / "local.json").write_text(json.dumps(local))
    return tmp_path


def test_the_command_loads_a_file_for_the_live_version(
    online_aws: OnlineAws, state: Path, tmp_path: Path
) -> None:
    file = csv(tmp_path, "customer,orders_90d,at\ncli-1,4,100\ncli-2,5,100\ncli-3,x,100\n")
    arguments = ["features", "load", str(file), "--model", "shop", "--state", str(state)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1, done.output
    text = "2 rows loaded into orders_90d: 2 of 2 entities changed, 1 rows refused"
    assert text in done.output
    assert "a number (float32)" in done.output
    found = table(online_aws).fetch("customer", ["cli-1", "cli-2", "cli-3"], ["orders_90d"])
    assert {entity: one["orders_90d"][:2] for entity, one in found.items()} == {
        "cli-1": (4, 100.0),
        "cli-2": (5, 100.0),
    }


def test_what_was_loaded_is_kept_with_the_moments_from_which_it_was_known(
    online_aws: OnlineAws, state: Path, tmp_path: Path
) -> None:
    text = "customer,orders_90d,at,known_at\nkept,4,100,160\nkept,7,200,260.5\nkept,,150,160\n"
    arguments = ["features", "load", str(csv(tmp_path, text)), "--model", "shop"]
    for _ in range(2):
        done = CliRunner().invoke(app, [*arguments, "--state", str(state)])
        assert done.exit_code == 0, done.output
    bucket = CaptureBucket(AwsClient("s3", environ=online_aws.environ), "captures-bucket")
    kept = read_history(bucket, "customer", SHOP.stored, {"kept"})
    ours = kept.entities == "kept"
    assert kept.at[ours].tolist() == [100.0, 200.0, 150.0]  # once
    assert kept.known_at[ours].tolist() == [160.0, 260.5, 160.0]
    assert kept.values["orders_90d"][ours].tolist() == [4, 7, 0]
    assert kept.there["orders_90d"][ours].tolist() == [True, True, False]
    item = online_aws.client("dynamodb").get_item(
        TableName="features", Key={"entity": {"S": "customer#kept"}}
    )["Item"]
    assert (item["orders_90d"], item["orders_90d@"]) == ({"N": "7.0"}, {"N": "200.0"})
    loaded = str(int(float(item["orders_90d@known"]["N"]) * 1000))[:12]
    (key,) = [key for key in bucket.keys(HISTORY) if f"/{loaded}" in key]
    assert key.startswith("features/entity=customer/")


@pytest.mark.parametrize(("model", "error"), [("nope", NotFound), ("log", BadInput)])
def test_the_command_refuses_a_model_without_stored_features(
    state: Path, tmp_path: Path, model: str, error: type[Exception]
) -> None:
    file = csv(tmp_path, "customer,orders_90d\nc1,4\n")
    arguments = ["features", "load", str(file), "--model", model, "--state", str(state)]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, error)
