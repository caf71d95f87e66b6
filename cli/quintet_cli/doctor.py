"""A smoke test of a stage: each pattern once, with a model of its own, then a clean-up."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from quintet.errors import QuintetError
from quintet_cli.api import Answer, Api
from quintet_cli.run_reader import RunReader
from quintet_cli.run_starter import drop_file
from quintet_cli.stacks import explained
from quintet_cli.stage import Stage, StageError

if TYPE_CHECKING:
    from quintet_publish.publisher import Publisher

__all__ = ["CHECKS", "MODEL", "Doctor", "Finding", "report"]

MODEL = "quintet-doctor"
TEXT = "The zipper of these jeans broke"
RECORDS = {"records": [{"text": TEXT}]}
POLL_SECONDS = 0.5
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw, or why it failed; `cells` are the rows of docs/targets.md it covers.

    What a `note` lacks is not needed for this stage.
    """

    check: str
    ok: bool
    saw: str
    seconds: float
    cells: tuple[str, ...] = ()
    note: bool = False

    @property
    def passes(self) -> bool:
        """Whether the stage is fine as far as this goes."""
        return self.ok or self.note


class Unlike(QuintetError):
    """A pattern did not answer as it should."""


class Doctor:
    """Checks a stage with a package that takes texts, published under the doctor's own name.

    `seconds` is the time limit of each pattern.
    """

    def __init__(
        self, stage: Stage, publisher: Publisher, package: Path, seconds: float = 300
    ) -> None:
        self._stage = stage
        self._publisher = publisher
        self._package = package
        self._seconds = seconds
        self._api = Api(stage)
        self._expected: Any = None
        self._began = datetime.now(UTC)

    def run(self, say: Callable[[Finding], None]) -> list[Finding]:
        """Run every check in turn, then the clean-up, even after an interrupt."""
        findings: list[Finding] = []
        try:
            for name, cells, check in CHECKS:
                found = self._one(name, cells, partial(check, self))
                findings.append(found)
                say(found)
                if name in ("publish", "predict") and not found.ok:
                    break  # the other checks compare their results with it
        finally:
            found = self._one("clean up", (), self.clean_up)
            findings.append(found)
            say(found)
        return findings

    def _one(self, name: str, cells: tuple[str, ...], check: Callable[[], str]) -> Finding:
        start = time.monotonic()
        try:
            ok, saw = True, check()
        except (StageError, QuintetError, BotoCoreError, ClientError) as error:
            look = f"quintet {HINTS[name]}"
            at = "" if self._stage.name == "local" else f" --stage {self._stage.name}"
            ok, saw = False, f"{explained(error) or error}; `{look}{at}`"
        return Finding(name, ok, saw, time.monotonic() - start, cells)

    def publish(self) -> str:
        """Publish the package under the doctor's name."""
        with TemporaryDirectory() as folder:
            copy = Path(folder) / MODEL
            shutil.copytree(self._package, copy)
            contract = copy / "model.yaml"
            name = f"name: {self._package.name}\n"
            contract.write_text(contract.read_text().replace(name, f"name: {MODEL}\n", 1))
            from quintet_publish.release import prepare  # with onnx, which no help needs

            release = prepare(copy, lambda *_: None)
        published = self._publisher.publish(release, self._began.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return f"{MODEL} version {release.contract.version}, live {published.live}"

    def predict(self) -> str:
        """Score one record over HTTP."""
        answer = self._ok(self._api.request("POST", f"/models/{MODEL}/predict", RECORDS), 200)
        (self._expected,) = answer.body["predictions"]
        return f"label {self._expected['label']}, version {answer.body['version']}"

    def job(self) -> str:
        """Submit the same record as a job, and poll until it is settled."""
        headers = {"Prefer": "respond-async"}
        path = f"/models/{MODEL}/predict"
        accepted = self._ok(self._api.request("POST", path, RECORDS, headers), 202)
        location = accepted.headers["Location"]
        for _ in self._until(f"the job at {location} to be settled"):
            job = self._ok(self._api.request("GET", location), 200).body
            if job["state"] in ("DONE", "FAILED", "CANCELLED"):
                break
        if job["state"] != "DONE":
            raise Unlike(f"the job is {job['state']}: {job.get('error')}")
        self._same(job["result"]["body"]["predictions"][0])
        return "DONE, the same scores"

    def stream(self) -> str:
        """Put the same record onto the stream, and find its row in the bucket of predictions."""
        data = json.dumps({"model": MODEL, **RECORDS}).encode()
        stream = self._stage.outputs["EventsStreamName"]
        kinesis = self._stage.client("kinesis")
        kinesis.put_record(StreamName=stream, Data=data, PartitionKey=MODEL)
        keys: list[str] = []
        for _ in self._until("the record's prediction"):
            if keys := self._keys("StreamBucketName", f"predictions/{MODEL}/"):
                break
        return f"its prediction is {keys[0]}"

    def file(self) -> str:
        """Drop a file, and read the report of its run."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / f"doctor-{self._began:%Y%m%dT%H%M%S}.csv"
            file.write_text(f"text\n{TEXT}\n{TEXT}\n")
            run = drop_file(self._stage, file, MODEL, {})
        reader = RunReader(self._stage)
        for _ in self._until(f"the report of run {run.run}"):
            # its last steps move the table's pointer and catalogue the table
            if (found := reader.report(run)) is not None and reader.ended(run) is not None:
                break
        assert found is not None
        if found["status"] != "succeeded" or found["counts"]["scored"] != 2:
            raise Unlike(f"run {run.run} is {found['status']}: {found['counts']}")
        return f"run {run.run} succeeded, 2 rows scored"

    def clean_up(self) -> str:
        """Delete the model, and every object below its name."""
        places = (
            ("RegistryBucketName", f"models/{MODEL}/"),
            ("InboxBucketName", f"{MODEL}/"),
            ("ScoresBucketName", f"runs/{MODEL}/"),
            ("ScoresBucketName", f"runs/_map/{MODEL}-"),  # Step Functions' own results
            ("ScoresBucketName", f"tables/{MODEL}/"),
            ("StreamBucketName", f"predictions/{MODEL}/"),
        )
        table = self._stage.outputs["RegistryTableName"]
        dynamodb = self._stage.client("dynamodb")
        query = {"TableName": table, "KeyConditionExpression": "#m = :m"}
        names = {"ExpressionAttributeNames": {"#m": "model"}}
        values = {"ExpressionAttributeValues": {":m": {"S": MODEL}}}
        for item in dynamodb.query(**query, **names, **values)["Items"]:
            key = {"model": item["model"], "item": item["item"]}
            dynamodb.delete_item(TableName=table, Key=key)
        gone = sum(self._empty(output, prefix) for output, prefix in places)
        self._uncatalogue()
        return f"model {MODEL} and {gone} objects are deleted; its job expires by itself"

    def _uncatalogue(self) -> None:
        """Delete the Athena tables that the run created on AWS."""
        glue, name = self._stage.client("glue"), MODEL.replace("-", "_")
        for table in (name, f"{name}_runs"):
            with suppress(glue.exceptions.EntityNotFoundException):
                glue.delete_table(
                    DatabaseName=self._stage.outputs["ScoresDatabaseName"], Name=table
                )

    def _keys(self, output: str, prefix: str) -> list[str]:
        bucket = self._stage.outputs[output]
        page = self._stage.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for found in page.get("Contents", [])]

    def _empty(self, output: str, prefix: str) -> int:
        """Delete every version below a prefix."""
        s3, bucket = self._stage.client("s3"), self._stage.outputs[output]
        deleted = 0
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
            if objects:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            deleted += len(objects)
        return deleted

    def _until(self, what: str) -> Iterator[None]:
        """Poll until there is a result.

        Raises:
            Unlike: the time limit passed.
        """
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline:
            yield
            time.sleep(POLL_SECONDS)
        raise Unlike(f"waited {self._seconds:.0f} s for {what}")

    def _same(self, found: dict[str, Any]) -> None:
        ours, theirs = self._expected["probabilities"], found["probabilities"]
        apart = max(abs(ours[name] - theirs[name]) for name in ours)
        if found["label"] != self._expected["label"] or apart > TOLERANCE:
            raise Unlike(f"expected the scores of predict, {self._expected}, got {found}")

    def _ok(self, answer: Answer, status: int) -> Answer:
        if answer.status != status:
            text = json.dumps(answer.body)[:300]
            raise Unlike(f"expected status {status}, got {answer.status}: {text}")
        return answer


#: what shows why a check failed, or does it again
HINTS = {
    "publish": "doctor",
    "predict": "logs Predict",
    "job": "logs Work",
    "stream": "stream status",
    "file": "logs ScoreUnit",
    "clean up": "doctor",
}

#: name, rows of docs/targets.md, check
CHECKS: tuple[tuple[str, tuple[str, ...], Callable[[Doctor], str]], ...] = (
    ("publish", (), Doctor.publish),
    ("predict", ("routes to functions", "the variables of the template"), Doctor.predict),
    ("job", ("batch size and batching window",), Doctor.job),
    ("stream", ("batches of records",), Doctor.stream),
    (
        "file",
        ("S3 notifies a queue of new objects", "Distributed Map with an item reader"),
        Doctor.file,
    ),
)


def report(stage: Stage, findings: list[Finding], moment: datetime) -> str:
    """Format the findings as Markdown, to send to the maintainers of docs/targets.md."""
    place = stage.endpoint_url or "AWS"
    lines = [
        f"# quintet doctor: stage {stage.name} on {place}, {moment:%Y-%m-%dT%H:%M:%SZ}",
        "",
        "| check | result | seconds | saw | rows of docs/targets.md |",
        "|---|---|---|---|---|",
    ]
    for found in findings:
        result, saw = "ok" if found.ok else "failed", found.saw.replace("|", "\\|")
        cells = "; ".join(found.cells) if found.ok else ""
        lines.append(f"| {found.check} | {result} | {found.seconds:.1f} | {saw} | {cells} |")
    return "\n".join(lines) + "\n"
