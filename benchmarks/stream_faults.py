"""A stream under injected faults: python -m benchmarks.stream_faults --records 100000

Sends records, including poison records, over four shards of the local AWS, while a seeded plan
fails invocations and calls of AWS, delivers batches twice and kills workers; splits a shard in the
middle. Then it reads back everything that was written. Exits with 1 if a record is not in the sink
exactly once, if poison is not kept byte for byte, or if the windows have wrong sums.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
from benchmarks.reports import options, report
from rich.progress import Progress
from tests.kits.local_aws import FREE_PORTS, LocalAws, start_local_aws
from tests.kits.packages import MODEL_YAML, golden, graph
from typer.testing import CliRunner

from quintet.aws.stream_sender import Entry, Sender
from quintet.replay.stream_objects import FAILURES, PREDICTIONS, QUARANTINE
from quintet_cli.app import app
from quintet_cli.stage import Stage
from quintet_cli.stream_reader import StreamReader

MODEL = "numbered"
NOTE = (
    "10 % of the batches fail, 5 % come twice, 2 % of the workers die, "
    "1 % of the calls of AWS fail; a shard is split in the middle"
)
SHARDS = 4
SENSORS = 40
#: a record's content: y = 2 x number + 1, and the windows sum the numbers
PACKAGE = MODEL_YAML.format(name=MODEL, version=1).replace("[0, 100]", "[0, 8000000]") + (
    """\
entity: sensor
stream:
  aggregates: [{name: heard, how: count}, {name: total, how: sum, of: a}]
"""
)
PARAMETERS = {"StreamShards": str(SHARDS), "StreamWindowSeconds": "5", "StreamBatchSeconds": "1"}
#: records per invocation: fewer records make more invocations that can fail
BATCH = 200
RATES = {"errors": 0.004, "throttles": 0.003, "lost_replies": 0.003}
#: seconds after the last record until its window is closed and stored
WINDOW_SECONDS = 5


def fault_plan(seed: int) -> dict[str, Any]:
    """Return the faults to inject."""
    return {
        "seed": seed,
        "calls": {"dynamodb": RATES, "s3": RATES},
        "kills": {"share": 0.02, "functions": ["ScoreStream"]},
        "streams": {"failures": 0.10, "duplicates": 0.05},
    }


@dataclass(frozen=True)
class Found:
    """The outcome of the records. In a good run, `missing` and all fields after it are 0."""

    records: int
    poison: int
    seconds: float
    sent_seconds: float
    objects: int
    windows: int
    shards: int
    happened: dict[str, int] = field(default_factory=dict)
    #: records that are missing from the sink, that are there more than once, that nobody sent
    missing: int = 0
    repeated: int = 0
    surplus: int = 0
    #: poison that is not byte for byte in quarantine or among the failures, or is more than once in
    #: quarantine; quarantined records that are not poison; good records that Lambda discarded
    poison_missing: int = 0
    poison_repeated: int = 0
    quarantined_good: int = 0
    given_up: int = 0
    #: sensors whose windows do not sum to their records
    counts_wrong: int = 0
    sums_wrong: int = 0

    @property
    def good(self) -> bool:
        """Whether every record is in its place, once."""
        return not any(
            (
                self.missing,
                self.repeated,
                self.surplus,
                self.poison_missing,
                self.poison_repeated,
                self.quarantined_good,
                self.given_up,
                self.counts_wrong,
                self.sums_wrong,
            )
        )


def poison(number: int) -> bytes:
    """Return the `number`-th poison record; all differ."""
    kinds = (
        b"no JSON %d" % number,
        b"\xff\xfe %d" % number,
        b"\x1f\x8bno gzip %d" % number,
        gzip.compress(b"[%d" % number, mtime=0),
        b'{"model": "unknown-%d", "records": [{"a": 1}]}' % number,
        b'{"model": "%s", "records": "%d"}' % (MODEL.encode(), number),
        b'{"model": "%s", "records": [{"sensor": "s", "a": "x%d"}]}' % (MODEL.encode(), number),
        b'{"model": "%s", "records": [{"a": %d}]}' % (MODEL.encode(), number),
        b"%d" % number,
    )
    return kinds[number % len(kinds)]


def entries(records: int, poisoned: int) -> Iterator[Entry]:
    """Yield everything to send, in order: poison is spread evenly among the records."""
    every = records // poisoned
    for number in range(records):
        if number % every == every // 2 and number // every < poisoned:
            yield f"poison-{number}", poison(number // every)
        sensor = f"s{number % SENSORS}"
        record = {"sensor": sensor, "a": number, "b": 1}
        yield sensor, orjson.dumps({"model": MODEL, "records": [record]})


def run(
    records: int,
    poisoned: int,
    seed: int,
    state: Path,
    *,
    patience: float,
    batch: int = BATCH,
    show: bool = False,
) -> Found:
    """Send the records under the seed's faults, wait until activity ends, and check the results."""
    package = state / "package"
    package.mkdir(parents=True)
    (package / "model.yaml").write_text(PACKAGE)
    (package / "model.onnx").write_bytes(graph())
    (package / "golden.json").write_text(json.dumps(golden()))
    plan = state / "faults.json"
    plan.write_text(json.dumps(fault_plan(seed)))
    options = (*FREE_PORTS, "--faults", str(plan))
    parameters = PARAMETERS | {"StreamBatchSize": str(batch)}
    local = start_local_aws(state, parameters=parameters, options=options)
    try:
        published = CliRunner().invoke(app, ["publish", str(package), "--state", str(state)])
        assert published.exit_code == 0, f"{published.output} {published.exception}"
        return _measured(local, records, poisoned, patience, show)
    finally:
        local.stop()


def _measured(local: LocalAws, records: int, poisoned: int, patience: float, show: bool) -> Found:
    begun = time.monotonic()
    reader = StreamReader(Stage.open("local", local.state))
    kinesis = local.client("kinesis")
    all_of_it = list(entries(records, poisoned))
    sender = Sender(kinesis, reader.name)
    middle = len(all_of_it) // 2
    with Progress(disable=not show) as progress:
        sent = progress.add_task("sent", total=len(all_of_it))
        for done in sender.send(all_of_it[:middle]):
            progress.update(sent, completed=done.records)
        _split(kinesis, reader)
        for done in sender.send(all_of_it[middle:]):
            progress.update(sent, completed=middle + done.records)
        sent_seconds = time.monotonic() - begun
        stored = progress.add_task("in the sink", total=records)
        sink = Sink(reader)
        moved = time.monotonic()
        while len(sink.numbers) < records and time.monotonic() < moved + patience:
            time.sleep(0.5)
            if sink.read():
                moved = time.monotonic()
            progress.update(stored, completed=len(sink.numbers))
        seconds = time.monotonic() - begun
        _settle(reader, records, patience)
        sink.read()
    return _found(local, reader, sink, all_of_it, seconds=seconds, sent_seconds=sent_seconds)


def _split(kinesis: Any, reader: StreamReader) -> None:
    """Split the first shard in half."""
    shard = reader.shards()[0]
    low, high = (int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
    kinesis.split_shard(
        StreamName=reader.name,
        ShardToSplit=shard["ShardId"],
        NewStartingHashKey=str((low + high) // 2),
    )


def _settle(reader: StreamReader, records: int, patience: float) -> None:
    """Wait until the last windows are closed: their row counts equal the number of records."""
    deadline = time.monotonic() + WINDOW_SECONDS + patience
    while time.monotonic() < deadline:
        if sum(window.counters.records for window in _windows(reader)) >= records:
            return
        time.sleep(1)


def _windows(reader: StreamReader) -> list[Any]:
    return list(reader.windows(MODEL, 1_000))


class Sink:
    """The record numbers in the sink, read as objects arrive."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._seen: set[str] = set()
        self.numbers: Counter[int] = Counter()

    @property
    def objects(self) -> int:
        """Return the number of objects."""
        return len(self._seen)

    def read(self) -> int:
        """Read the new objects; return how many there are."""
        new = set(self._reader.keys(f"{PREDICTIONS}{MODEL}/")) - self._seen
        for key in new:
            scored = self._reader.scored(key)
            self.numbers.update(int((y - 1) / 2) for y in scored.columns["y"])
        self._seen |= new
        return len(new)


def _found(
    local: LocalAws,
    reader: StreamReader,
    sink: Sink,
    entries: Sequence[Entry],
    *,
    seconds: float,
    sent_seconds: float,
) -> Found:
    poison = Counter(data for key, data in entries if key.startswith("poison"))
    good = len(entries) - poison.total()
    kept = Counter(
        base64.b64decode(line["data"])
        for key in reader.keys(QUARANTINE)
        for line in reader.refused(key)
        if line["data"] is not None
    )
    given_up = Counter(
        base64.b64decode(record["kinesis"]["data"])
        for key in reader.keys(FAILURES)
        for record in _payload(json.loads(reader.body(key)))["Records"]
    )
    windows = _windows(reader)
    heard: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for window in windows:
        for entity, aggregates in window.entities.items():
            heard[entity] += aggregates["heard"]
            total[entity] += aggregates["total"]
    counts = {f"s{n}": len(range(n, good, SENSORS)) for n in range(min(SENSORS, good))}
    sums = {f"s{n}": sum(range(n, good, SENSORS)) for n in range(min(SENSORS, good))}
    return Found(
        records=good,
        poison=poison.total(),
        seconds=round(seconds, 1),
        sent_seconds=round(sent_seconds, 1),
        objects=sink.objects,
        windows=len(windows),
        shards=len(reader.shards()),
        happened=_happened(local),
        missing=len(set(range(good)) - sink.numbers.keys()),
        repeated=sum(times > 1 for times in sink.numbers.values()),
        surplus=len(sink.numbers.keys() - set(range(good))),
        poison_missing=(poison - kept - given_up).total(),
        poison_repeated=(kept - poison).total() if kept.keys() <= poison.keys() else 0,
        quarantined_good=sum(kept[data] for data in kept.keys() - poison.keys()),
        given_up=sum(given_up[data] for data in given_up.keys() - poison.keys()),
        counts_wrong=_differences(counts, heard),
        sums_wrong=_differences(sums, total),
    )


def _payload(document: dict[str, Any]) -> dict[str, Any]:
    """Return the event in Lambda's failure document: JSON, or JSON as text."""
    payload = document["payload"]
    found: dict[str, Any] = json.loads(payload) if isinstance(payload, str) else payload
    return found


def _differences(expected: dict[str, int], got: Counter[str]) -> int:
    return sum(expected.get(name, 0) != got[name] for name in expected.keys() | got.keys())


def _happened(local: LocalAws) -> dict[str, int]:
    with urllib.request.urlopen(f"{local.endpoint_url}/_quintet/health") as answer:
        counts: dict[str, int] = json.load(answer)["faults"]["happened"]
    return counts


def main() -> int:
    """Run the benchmark and report."""
    parser = options(__doc__, "stream_faults")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--poison", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=120, help="seconds without news")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(
            given.records,
            given.poison,
            given.seed,
            Path(folder),
            patience=given.patience,
            show=True,
        )
    result = {**asdict(found), "seed": given.seed, "good": found.good}
    report(
        "stream_faults",
        [{"figure": k, "value": str(v)} for k, v in result.items()],
        NOTE,
        write=given.write,
    )
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
