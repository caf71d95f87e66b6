"""`quintet dlq` on the quarantines of batch runs, against moto: rows go back once, and whole."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
from arro3 import io as arrow_io
from tests.kits.batch import (
    CONTRACT,
    KINDS,
    STARTED,
    csv_bytes,
    jsonl_bytes,
    parquet_bytes,
    row,
    tiny_graph,
)
from tests.kits.batch_functions import MACHINE, BatchAws, serving
from typer.testing import CliRunner

from quintet.aws.input_bucket import S3InputBucket
from quintet.aws.scores_bucket import S3ConditionalObjects, S3ObjectStore
from quintet.batch.planning import MemoryCatalog, Pinned, RunRequest, plan_run
from quintet.batch.plans import Plan, RunPaths, run_name, unit_from
from quintet.batch.reports import report_run
from quintet.batch.requests import request_from
from quintet.batch.units import score_unit
from quintet.contract import Contract
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.replay.aws.catalog import catalog_of
from quintet.replay.items import Pace, ReplayDepth, ReplayError, ReplaySource, matching
from quintet.replay.run_quarantine import ReplayInbox, RunQuarantine
from quintet_cli.app import app
from quintet_cli.stage import Stage

AT_ONCE = Pace(None)
#: the model after its fix: it takes the country that it refused
FIXED = replace(
    CONTRACT,
    features=tuple(
        replace(f, categories=("de", "fr", "xx")) if f.name == "country" else f
        for f in CONTRACT.features
    ),
)


@cache
def loaded(contract: Contract) -> OnnxModel:
    return OnnxModel(contract, tiny_graph(), digest="d" * 64)


@dataclass
class House:
    """A stage on moto, whose runs go in this process; `contract` is that of the live model."""

    aws: BatchAws
    stage: Stage
    state: Path
    contract: Contract = CONTRACT

    @cached_property
    def s3(self) -> Any:
        return self.aws.client("s3")

    def drop(self, key: str, body: bytes, **metadata: str) -> RunPaths:
        """Put a file into the inbox, and run it."""
        put = self.s3.put_object(Bucket="inbox", Key=key, Body=body, Metadata=metadata)
        return self.run(key, put["VersionId"])

    def run(self, key: str, version: str, *, report: bool = True) -> RunPaths:
        """What the notification of an object does."""
        run = run_name("inbox", key, version)
        asked = {"bucket": "inbox", "key": key, "version_id": version}
        return self.score(request_from(asked, run=run, started=STARTED), report=report)

    def many(self, files: dict[str, bytes], **asked: Any) -> RunPaths:
        """Put files into the inbox, and run them as one."""
        for key, body in files.items():
            self.s3.put_object(Bucket="inbox", Key=key, Body=body)
        data = {"model": "tiny", "bucket": "inbox", "prefix": "_data/", **asked}
        return self.score(request_from(data, run="tiny-many", started=STARTED))

    def score(self, request: RunRequest, *, report: bool = True) -> RunPaths:
        """All that a run does."""
        inbox, store = (
            S3InputBucket(self.aws.signed("s3")),
            S3ObjectStore(self.aws.signed("s3"), "scores"),
        )
        catalog = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, self.contract))
        cells = S3ConditionalObjects(self.aws.signed("s3"), "scores")
        plan = plan_run(
            request, catalog=catalog, inbox=inbox, store=store, cells=cells, unit_bytes=400
        )
        assert isinstance(plan, Plan), plan
        for unit in json.loads(store.get(plan.units_key) or b"[]"):
            score_unit(
                unit_from(unit),
                plan,
                model=lambda: loaded(self.contract),
                inbox=inbox,
                store=store,
                cells=cells,
                features=MemoryFeatures(),
                clock=lambda: 0.0,
            )
        if report:
            report_run(
                plan.folder,
                store=store,
                cells=S3ConditionalObjects(self.aws.signed("s3"), "scores"),
                clock=lambda: datetime(2026, 11, 20, 9, tzinfo=UTC),
            )
        return plan.folder

    def report(self, folder: RunPaths) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.aws.objects(folder.report)[folder.report])
        return found

    def replays(self) -> dict[str, dict[str, Any]]:
        """What lies in the inbox by replays: body, metadata and version by key."""
        listed = self.s3.list_object_versions(Bucket="inbox", Prefix="tiny/replays/")
        found = {}
        for version in listed.get("Versions", []):
            assert version["Key"] not in found, "it was put twice"
            got = self.s3.get_object(Bucket="inbox", Key=version["Key"])
            found[version["Key"]] = {
                "body": got["Body"].read(),
                "metadata": got["Metadata"],
                "version": version["VersionId"],
            }
        return found

    def dlq(self, *words: str) -> str:
        result = CliRunner().invoke(app, ["dlq", *words, "--state", str(self.state)])
        assert result.exit_code == 0, result.output
        return result.output

    def refuses(self, *words: str) -> str:
        result = CliRunner().invoke(app, ["dlq", *words, "--state", str(self.state)])
        assert isinstance(result.exception, ReplayError), result.exception
        return str(result.exception)

    def named(self, name: str) -> ReplaySource:
        stage = self.stage
        return catalog_of(stage.name, stage.outputs, stage.client, stage.signed).named(name)

    def place(self, folder: RunPaths) -> RunQuarantine:
        found = self.named(f"tiny/{folder.run}")
        assert isinstance(found, RunQuarantine)
        return found


@pytest.fixture(scope="module")
def aws() -> Iterator[BatchAws]:
    with serving() as found:
        yield found


@pytest.fixture
def house(aws: BatchAws, tmp_path: Path) -> Iterator[House]:
    outputs = {"ScoresBucketName": "scores", "InboxBucketName": "inbox", "BatchScoringArn": MACHINE}
    told = {"api_url": "", "outputs": outputs, "endpoint_url": aws.url}
    (tmp_path / "local.json").write_text(json.dumps(told))
    yield House(aws, Stage.open("local", tmp_path), tmp_path)
    s3 = aws.client("s3")
    for bucket in ("scores", "inbox"):
        # other tests leave more objects than one answer lists
        while found := _versions(s3, bucket):
            for one in found:
                s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])


def _versions(s3: Any, bucket: str) -> list[dict[str, Any]]:
    listed = s3.list_object_versions(Bucket=bucket)
    return [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]


def rows_with(*bad: int, count: int = 20) -> list[dict[str, Any]]:
    return [row(number, country="xx" if number in bad else "de") for number in range(count)]


HEAD = b"customer,amount,visits,country,rate\n"
BAD = [b'c1,"1\n",1,xx,0.5', b"c2,1,1,xx,\xe9", b"17,short", b"c4,1,1,xx,0.5"]
MIXED = HEAD + b"".join(b"%b\nc,1,1,de,0.5\n" % line for line in BAD)


def test_rows_go_back_as_they_were_and_are_a_run_of_their_own(house: House) -> None:
    folder = house.drop("tiny/a.csv", MIXED, **{"quintet-output": "csv"})
    output = house.dlq("replay", f"tiny/{folder.run}")
    ((key, put),) = house.replays().items()
    assert put["body"] == HEAD + b"".join(line + b"\n" for line in BAD)
    assert put["metadata"] == {
        "quintet-replay-of": folder.run,
        "quintet-output": "csv",
        "quintet-header": "first",
    }
    run = run_name("inbox", key, put["version"])
    said = [line.strip() for line in output.strip().splitlines()]
    assert said[:2] == [
        f"4 sent to s3://inbox/tiny/, 0 left in tiny/{folder.run}",
        f"follow it: quintet runs watch tiny {run}",
    ]
    address = said[2].removeprefix("record: s3://scores/")
    record = json.loads(house.aws.objects(address)[address])
    assert record["sent"] == [
        {"key": key, "version_id": put["version"], "run": run, "rows": [0, 2, 4, 6]}
    ]
    assert key == f"tiny/replays/{folder.run}/replay-{record['replay']}-1.csv"
    told = {"status": "done", "place": f"tiny/{folder.run}", "sent_to": "s3://inbox/tiny/"}
    assert {name: record[name] for name in told} == told
    house.contract = FIXED
    again = house.run(key, put["version"])
    report = house.report(again)
    assert report["counts"] == {
        "rows": 4,
        "scored": 2,
        "quarantined": 2,
        "fallback": 0,
        "unaccounted": 0,
    }
    assert report["input"]["metadata"]["quintet-replay-of"] == folder.run
    assert f"<code>{folder.run}</code>" in house.aws.objects(again.page)[again.page].decode()
    shown = CliRunner().invoke(app, ["runs", "show", "tiny", run, "--state", str(house.state)])
    assert f"  replay of {folder.run}\n" in shown.output


def test_rows_are_sent_again_where_the_command_asks_for_it(house: House) -> None:
    folder = house.drop("tiny/a.csv", csv_bytes(rows_with(2, 7)))
    name = f"tiny/{folder.run}"
    assert "1 sent to s3://inbox/tiny/, 1 left" in house.dlq("replay", name, "--filter", "row=7")
    assert house.place(folder).depth() == ReplayDepth(1, "1 replayed")
    assert house.dlq("show", name).count("replayed before, by ") == 1
    assert "1 of 2 rows would go" in house.dlq("replay", name, "--dry-run")
    assert "2 of 2 rows would go" in house.dlq("replay", name, "--dry-run", "--again")
    assert "2 sent to s3://inbox/tiny/, 0 left" in house.dlq("replay", name, "--again")
    sent = [put for key, put in house.replays().items() if f"/{folder.run}/" in key]
    assert sorted(put["body"].count(b"xx") for put in sent) == [1, 2]


def test_ls_lists_the_runs_with_quarantined_rows(house: House) -> None:
    clean = house.drop("tiny/clean.csv", csv_bytes(rows_with()))
    folder = house.drop("tiny/[b]a.csv", csv_bytes(rows_with(2, 7)))
    house.drop("tiny/going.csv", csv_bytes(rows_with(2)))
    going = house.s3.list_object_versions(Bucket="inbox", Prefix="tiny/going")["Versions"][0]
    running = RunPaths("tiny", run_name("inbox", going["Key"], going["VersionId"]))
    house.s3.delete_object(Bucket="scores", Key=running.report)
    house.dlq("replay", f"tiny/{folder.run}", "--filter", "row=2")
    lines = house.dlq("ls").splitlines()[1:]
    assert [" ".join(line.split()) for line in lines] == [
        f"tiny/{folder.run} 1 rows 1 replayed 2026-11-20 08:00:00 tiny/[b]a.csv "
        "country: expected one of de, fr"
    ]
    assert house.refuses("show", f"tiny/{clean.run}") == (
        f"run {clean.run} of tiny has no quarantined rows"
    )


def test_filters_choose_rows(house: House) -> None:
    rows = list(house.place(house.drop("tiny/a.csv", MIXED)).items())
    chosen = {
        "row=2": [2],
        "row=20": [],
        "row=x": [],
        "field=country": [0, 6],
        "field=row": [2, 4],
        "field=count": [],
        "xx": [0, 2, 6],
        "\xe9": [2],
    }
    found = {text: [r.number for r in rows if matching([text])(r)] for text in chosen}
    assert found == chosen
    several = matching(["xx", "field=country", "c4"])
    assert [r.number for r in rows if several(r)] == [6]


def test_show_prints_rows_with_their_reasons_and_no_commands(house: House) -> None:
    bad = "\x1b]0;[red]x\x07"
    house.drop("tiny/a.csv", csv_bytes([row(0), row(1, country=bad), row(2, country="xx")]))
    shown = house.dlq("show", "tiny", "--limit", "1")
    assert shown.splitlines()[1] == "  c1,0.25,1,\\x1b]0;[red]x\\x07,0.5"
    assert shown.startswith("row 1  country: expected one of de, fr, got ")
    assert "\x1b" not in shown
    assert house.dlq("show", "tiny", "--filter", "row=9").startswith("nothing in tiny/")


def test_a_model_means_its_newest_run_with_quarantined_rows(house: House) -> None:
    house.drop("tiny/old.csv", csv_bytes(rows_with(3)))
    newest = house.drop("tiny/new.csv", csv_bytes(rows_with(4)))
    report = house.report(newest) | {"started": "2026-11-21T08:00:00.000Z"}
    house.s3.put_object(Bucket="scores", Key=newest.report, Body=json.dumps(report))
    assert house.named("tiny").name == f"tiny/{newest.run}"


def test_rows_that_would_make_a_file_unreadable_stay(house: House) -> None:
    good = [row(number) for number in range(10)]
    lines = [b"[1, 2]", b"{broken", b'{"customer": "\0"}']
    # a byte of 0 refuses a file only at its beginning
    body = jsonl_bytes([*good, row(10, customer="c" * 300_000)]) + b"\n".join(lines) + b"\n"
    folder = house.drop("tiny/a.jsonl", body)
    assert "1 sent to s3://inbox/tiny/, 2 left" in house.dlq("replay", f"tiny/{folder.run}")
    ((key, put),) = house.replays().items()
    assert (put["body"], key.endswith(".jsonl")) == (b"{broken\n", True)
    assert house.dlq("show", "tiny").count("cannot be replayed") == 2
    house.run(key, put["version"])


def test_rows_of_parquet_go_back_as_parquet(house: House) -> None:
    rows = rows_with(3, 17)
    rows[9]["amount"] = float("inf")
    folder = house.drop("tiny/a.parquet", parquet_bytes(rows, 5))
    house.dlq("replay", f"tiny/{folder.run}")
    ((key, put),) = house.replays().items()
    table = arrow_io.read_parquet(io.BytesIO(put["body"])).read_all()
    columns = [table.column(name).to_pylist() for name in table.schema.names]
    assert list(zip(*columns, strict=True)) == [tuple(rows[n].values()) for n in (3, 9, 17)]
    house.contract = FIXED
    counts = house.report(house.run(key, put["version"]))["counts"]
    assert (counts["scored"], counts["quarantined"]) == (2, 1)


def test_rows_of_parquet_stay_unmarked_where_their_file_is_gone(house: House) -> None:
    folder = house.drop("tiny/a.parquet", parquet_bytes(rows_with(3), 5))
    source = house.report(folder)["input"]
    house.s3.delete_object(Bucket="inbox", Key=source["key"], VersionId=source["version_id"])
    assert house.refuses("replay", "tiny").startswith(
        "the file: expected tiny/a.parquet as it was planned, got another; it was deleted or "
        "overwritten; 0 rows were sent, the others stay in "
        f"tiny/{folder.run}. Record: s3://scores/audit/"
    )
    assert house.place(folder).depth() == ReplayDepth(1)


def test_a_lost_reply_to_its_mark_stops_no_replay(house: House) -> None:
    place = house.place(house.drop("tiny/a.csv", csv_bytes(rows_with(2))))
    lost = replace(place, marked=LosesReplies(place.marked), inbox=LosesReplies(place.inbox))
    (done,) = lost.send_back(matching([]), "r1", AT_ONCE)
    assert (done.sent, len(house.replays())) == (1, 1)


class LosesReplies:
    """A port, whose first reply is lost: it is asked a second time."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)

        def call(*given: Any) -> Any:
            found(*given)
            return found(*given)

        return call if callable(found) else found


def test_a_rate_cuts_the_rows_into_files_of_a_minute(house: House) -> None:
    place = house.place(house.drop("tiny/a.csv", csv_bytes(rows_with(*range(5)))))
    waits: list[float] = []
    pace = Pace(2 / 60, lambda: 0.0, waits.append)
    done = [outcome.record["rows"] for outcome in place.send_back(matching([]), "r1", pace)]
    assert done == [[0, 1], [2, 3], [4]]
    assert waits == [pytest.approx(60.0), pytest.approx(120.0)]


@pytest.mark.parametrize("words", [("show",), ("replay",), ("replay", "--dry-run")])
def test_what_is_not_there_is_said(house: House, words: tuple[str, ...]) -> None:
    assert house.refuses(*words, "tiny/none") == "run none has no report: no such run"
    assert house.refuses(*words, "tiny").startswith(
        "no dead-letter queue is named tiny in stage local, and no run of a model tiny that ended "
        "has quarantined rows"
    )
    put = house.s3.put_object(Bucket="inbox", Key="tiny/b.csv", Body=csv_bytes(rows_with(1)))
    going = house.run("tiny/b.csv", put["VersionId"], report=False)
    assert house.refuses(*words, f"tiny/{going.run}") == (
        f"run {going.run} has no report: `quintet runs watch tiny {going.run}`"
    )


@pytest.mark.parametrize("words", [("show",), ("replay",), ("replay", "--dry-run")])
def test_a_quarantine_that_is_gone_or_changed_sends_nothing(
    house: House, words: tuple[str, ...]
) -> None:
    folder = house.drop("tiny/a.csv", csv_bytes(rows_with(1)))
    key = folder.quarantine(0)
    house.s3.put_object(Bucket="scores", Key=key, Body=b'{"row":1,"text":"evil","reasons":[]}\n')
    name = f"the quarantine of tiny/{folder.run}"
    assert f"{name} is not what the run wrote: {key}" in house.refuses(*words, f"tiny/{folder.run}")
    house.s3.delete_object(Bucket="scores", Key=key)
    assert f"{name} is gone: {key}" in house.refuses(*words, f"tiny/{folder.run}")
    assert (house.replays(), house.place(folder).depth()) == ({}, ReplayDepth(1))


def test_a_run_without_its_plan_sends_nothing(house: House) -> None:
    folder = house.drop("tiny/a.csv", csv_bytes(rows_with(1)))
    house.s3.delete_object(Bucket="scores", Key=folder.plan)
    assert "has no plan any more" in house.refuses("replay", f"tiny/{folder.run}")
    assert house.replays() == {}


# ---- runs over many files --------------------------------------------------------------------


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in one.items() if k not in names} for one in rows]


def flipped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [dict(reversed(one.items())) for one in rows]


def sent_of(house: House, folder: RunPaths, *words: str) -> list[dict[str, Any]]:
    """What the record of a replay says it has sent."""
    output = house.dlq("replay", f"tiny/{folder.run}", *words)
    address = output.strip().splitlines()[-1].strip().removeprefix("record: s3://scores/")
    sent: list[dict[str, Any]] = json.loads(house.aws.objects(address)[address])["sent"]
    return sent


def test_rows_of_many_files_go_back_as_rows_of_each(house: House) -> None:
    a, b, c = rows_with(2, 17), rows_with(3), rows_with(2, 3)
    semicolons = csv_bytes(flipped(b)).replace(b",", b";")
    folder = house.many(
        {
            "_data/a.csv": csv_bytes(a),
            "_data/b.csv": semicolons,
            "_data/c.csv.gz": gzip.compress(csv_bytes(c, "\r\n")),
            "_data/d.csv": csv_bytes(rows_with()),
        }
    )
    sent = sent_of(house, folder)
    assert [(one["file"], one["rows"]) for one in sent] == [
        ("_data/a.csv", [2, 17]),
        ("_data/b.csv", [3]),
        ("_data/c.csv.gz", [2, 3]),
    ]
    put = house.replays()
    bodies = [put[one["key"]]["body"] for one in sent]
    assert bodies == [
        csv_bytes([a[2], a[17]]),
        b"".join(semicolons.splitlines(keepends=True)[n] for n in (0, 4)),
        csv_bytes(c[2:4]),
    ]
    house.contract = FIXED
    for one in sent:
        counts = house.report(house.run(one["key"], one["version_id"]))["counts"]
        assert (counts["scored"], counts["rows"]) == (len(one["rows"]),) * 2
    assert house.place(folder).depth() == ReplayDepth(0, "5 replayed")
    assert "0 sent to s3://inbox/tiny/, 5 left" in house.dlq("replay", f"tiny/{folder.run}")


def test_rows_of_many_files_are_told_apart_by_file_and_row(house: House) -> None:
    body = csv_bytes(rows_with(2, 7))
    folder = house.many({"_data/a.csv": body, "_data/b.csv": body})
    name = f"tiny/{folder.run}"
    shown = house.dlq("show", name, "--filter", "row=7").splitlines()[::2]
    assert [line.split("  ")[0] for line in shown] == ["_data/a.csv row 7", "_data/b.csv row 7"]
    only = ("--filter", "file=_data/b.csv", "--filter", "row=7")
    assert [(one["file"], one["rows"]) for one in sent_of(house, folder, *only)] == [
        ("_data/b.csv", [7])
    ]
    assert house.place(folder).depth() == ReplayDepth(3, "1 replayed")
    assert [(one["file"], one["rows"]) for one in sent_of(house, folder)] == [
        ("_data/a.csv", [2, 7]),
        ("_data/b.csv", [2]),
    ]


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        ("csv", csv_bytes),
        ("jsonl", jsonl_bytes),
        (
            "parquet",
            lambda rows: parquet_bytes(
                rows, 5, {name: kind for name, kind in KINDS.items() if name != "country"}
            ),
        ),
    ],
)
def test_what_folders_say_of_rows_is_said_of_them_again(
    house: House, suffix: str, write: Callable[[list[dict[str, Any]]], bytes]
) -> None:
    rows = without(rows_with(), "country")
    rows[4]["amount"] = rows[9]["amount"] = None
    folder = house.many(
        {f"_data/country={name}/day=1/a.{suffix}": write(rows) for name in ("de", "fr")},
        output="jsonl",
    )
    sent = sent_of(house, folder)
    places = [one["key"].rpartition("/")[0] for one in sent]
    root = f"tiny/replays/{folder.run}"
    assert places == [f"{root}/country=de/day=1", f"{root}/country=fr/day=1"]
    again = house.run(sent[1]["key"], sent[1]["version_id"])
    assert house.report(again)["counts"]["quarantined"] == 2  # not for their country
    # a replay of a replay is in those folders as well; the model takes a missing amount now
    twice = sent_of(house, again)
    assert twice[0]["key"].startswith(f"tiny/replays/{again.run}/country=fr/day=1/replay-")
    house.contract = replace(
        CONTRACT,
        features=tuple(
            replace(f, default=0.5) if f.name == "amount" else f for f in CONTRACT.features
        ),
    )
    last = house.run(twice[0]["key"], twice[0]["version_id"])
    scores = house.aws.objects(f"{last.root}scores/").values()
    found = [json.loads(line) for body in scores for line in body.splitlines()]
    assert [(one["customer"], one["country_seen"]) for one in found] == [("c4", "fr"), ("c9", "fr")]


@dataclass(frozen=True)
class _InboxThatFails:
    """An inbox that does not take keys with some ending."""

    inbox: ReplayInbox
    ending: str

    @property
    def bucket(self) -> str:
        return self.inbox.bucket

    def put_once(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        if key.endswith(self.ending):
            raise ConnectionError("the network is gone")
        return self.inbox.put_once(key, body, metadata)


def test_a_replay_of_one_of_many_files_that_was_killed_is_finished(house: House) -> None:
    body = csv_bytes(rows_with(2, 7))
    folder = house.many({"_data/a.csv": body, "_data/b.csv": body.replace(b",", b"|")})
    place = house.place(folder)
    broken = replace(place, inbox=_InboxThatFails(place.inbox, "-2.csv"))
    with pytest.raises(ConnectionError):
        [*broken.send_back(matching([]), "killed", AT_ONCE)]
    assert place.depth() == ReplayDepth(0, "4 replayed")
    (done,) = [found for found in place.send_back(_none, "next", AT_ONCE) if found.sent]
    assert (done.record["file"], done.record["rows"]) == ("_data/b.csv", [2, 7])
    head, *lines = body.replace(b",", b"|").splitlines(keepends=True)
    put = house.replays()[done.record["key"]]
    assert put["body"] == head + lines[2] + lines[7]


def _none(thing: object) -> bool:
    return False


def test_columns_that_were_kept_are_kept_again(house: House) -> None:
    rows = [{**one, "plan": "a b", "x,y": "1"} for one in rows_with(2)]
    kept = {"plan": "tariff", "customer": "who"}
    folder = house.many({"_data/a.csv": csv_bytes(rows)}, keep=kept, output="csv")
    sent_of(house, folder)
    ((key, put),) = house.replays().items()
    assert put["metadata"] == {
        "quintet-replay-of": folder.run,
        "quintet-output": "csv",
        "quintet-header": "first",
        "quintet-keep": "plan=tariff, customer=who",
    }
    house.contract = FIXED
    again = house.run(key, put["version"])
    (body,) = house.aws.objects(f"{again.root}scores/").values()
    assert body.splitlines()[0].startswith(b"row,customer,tariff,who,")


def test_rows_of_a_file_without_a_header_come_back_with_one(house: House) -> None:
    house.contract = replace(CONTRACT, header="none")
    folder = house.drop("tiny/a.csv", b"0.5,1,fr,0.5\n0.5,1,xx,0.5\n0.5,2,de,0.75\n")
    sent_of(house, folder)
    ((key, put),) = house.replays().items()
    assert put["body"] == b"amount,visits,country,rate\n0.5,1,xx,0.5\n"
    assert put["metadata"]["quintet-header"] == "first"
    house.contract = replace(FIXED, header="none")
    again = house.run(key, put["version"])
    assert house.report(again)["counts"] == {
        **house.report(again)["counts"],
        "rows": 1,
        "scored": 1,
    }


def test_files_of_one_key_in_two_buckets_send_nothing(house: House) -> None:
    house.s3.create_bucket(Bucket="more")
    body = csv_bytes(rows_with(2))
    house.s3.put_object(Bucket="more", Key="_data/a.csv", Body=body)
    files = json.dumps(["_data/a.csv", "s3://more/_data/a.csv"]).encode()
    asked = {"prefix": None, "manifest": "_data/list.json"}
    folder = house.many({"_data/a.csv": body, "_data/list.json": files}, **asked)
    refused = house.refuses("replay", f"tiny/{folder.run}")
    assert "has files _data/a.csv of two buckets, and its quarantine does not tell" in refused
    assert house.replays() == {}


def test_a_run_of_many_without_its_inputs_sends_nothing(house: House) -> None:
    folder = house.many({"_data/a.csv": csv_bytes(rows_with(2))})
    (key,) = (key for key in house.aws.objects(folder.root) if key.endswith("/inputs.json"))
    house.s3.delete_object(Bucket="scores", Key=key)
    assert "has no inputs.json any more" in house.refuses("replay", f"tiny/{folder.run}")
    assert house.replays() == {}


def test_rows_whose_key_s3_would_not_take_are_not_marked(house: House) -> None:
    key = f"_data/{'/'.join(f'{n}={200 * n}' for n in 'pqrst')[:990]}/a.csv"
    folder = house.many({key: csv_bytes(rows_with(2))})
    refused = house.refuses("replay", f"tiny/{folder.run}")
    assert refused.startswith(f"S3 takes no key as long as that of a replay of {key}; its rows")
    assert (house.place(folder).depth(), house.replays()) == (ReplayDepth(1), {})
