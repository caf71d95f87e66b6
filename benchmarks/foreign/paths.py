"""Score a case's rows by every path of a stage; each returns the outputs, row by row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import urllib3
from arro3 import core
from arro3 import io as arrow_io
from benchmarks.foreign.cases import Attempt, Rows
from benchmarks.foreign.tensors import DTYPES, from_binary, header, stack, to_binary, unstacked
from benchmarks.foreign.values import feature_name, plain
from numpy.typing import NDArray

from quintet.batch.planning import OUTPUT
from quintet_cli.run_reader import RunReader
from quintet_cli.run_starter import drop_file
from quintet_cli.stage import Stage

__all__ = ["PATHS", "Paths", "Unsuited", "Wrong"]

#: more bytes than this do not fit a request, or a record of the stream
REQUEST, RECORD = 4_500_000, 900_000
#: a table has a column for each value of an output of a fixed shape
WIDE = 2_000
SECONDS = 120


class Unsuited(Exception):
    """The rows do not fit this path; the text says why."""


class Wrong(Exception):
    """The path refused the rows or failed; the text is its message."""


@dataclass
class Paths:
    """A stage with a published case."""

    stage: Stage
    scratch: Path

    def __post_init__(self) -> None:
        self._http = urllib3.PoolManager(retries=False, timeout=60)

    def records(self, case: Attempt) -> Rows:
        """POST /models/{model}/predict."""
        body = self._json({"records": case.records()})
        return self._predictions(case, self._post(f"/models/{case.name}/predict", body))

    def oip_json(self, case: Attempt) -> Rows:
        """POST /v2/models/{model}/infer, with data as JSON."""
        return self._by_shape(case, self._infer_json)

    def oip_binary(self, case: Attempt) -> Rows:
        """The same with binary tensors in both directions."""
        return self._by_shape(case, self._infer_binary)

    def job(self, case: Attempt) -> Rows:
        """The records as a job."""
        body = self._json({"records": case.records()})
        headers = {"Prefer": "respond-async"}
        answer = self._request("POST", f"/models/{case.name}/predict", body, headers, 202)
        place = answer.headers["Location"]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            job = self._request("GET", place).json()
            if job["state"] in ("DONE", "FAILED", "CANCELLED"):
                break
            time.sleep(0.1)
        if job["state"] != "DONE":
            raise Wrong(f"the job is {job['state']}: {job.get('error') or job.get('result')}")
        result = job["result"]
        if "body" not in result:
            return self._predictions(case, self._request("GET", result["url"]).json())
        return self._predictions(case, result["body"])

    def batch(self, case: Attempt) -> Rows:
        """A Parquet file that is dropped into the inbox."""
        self._narrow(case)
        file = self.scratch / f"{case.name}.parquet"
        records = case.records()
        columns: dict[str, core.Array] = {}
        for name, value in self._arrays(case).items():
            columns[name] = _column(value)
        table = core.Table.from_arrays([*columns.values()], names=[*columns])
        assert table.num_rows == len(records)
        arrow_io.write_parquet(table, file)
        reader = RunReader(self.stage)
        folder = drop_file(self.stage, file, case.name, {OUTPUT: "parquet"})
        deadline = time.monotonic() + SECONDS
        while (report := reader.report(folder)) is None or reader.ended(folder) is None:
            if time.monotonic() > deadline:
                raise Wrong(f"the run did not end within {SECONDS} s")
            time.sleep(0.2)
        if report["status"] != "succeeded":
            raise Wrong(f"the run {report['status']}: {report.get('reason') or report['counts']}")
        rows: list[dict[str, Any]] = []
        for key in sorted(reader.store.keys(f"{folder.root}scores/")):
            found = arrow_io.read_parquet(reader.store.get(key) or b"").read_all()
            rows += found.to_struct_array().to_pylist()
        return self._from_tables(case, rows)

    def send(self, case: Attempt) -> list[str]:
        """Put every row onto the stream; the records' sequence numbers, for `streamed`."""
        self._narrow(case)
        kinesis, stream = self.stage.client("kinesis"), self.stage.outputs["EventsStreamName"]
        sequences = []
        for record in case.records():
            data = json.dumps({"model": case.name, "records": [record]}).encode()
            if len(data) > RECORD:
                raise Unsuited("a record of the stream has at most 1 MiB")
            put = kinesis.put_record(StreamName=stream, Data=data, PartitionKey=case.name)
            sequences.append(put["SequenceNumber"])
        return sequences

    def streamed(self, case: Attempt, sequences: list[str]) -> Rows:
        """The predictions of the records that were sent."""
        s3, bucket = self.stage.client("s3"), self.stage.outputs["StreamBucketName"]
        found: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + SECONDS
        while set(sequences) - found.keys():
            if time.monotonic() > deadline:
                raise Wrong(f"{len(sequences) - len(found)} records were not scored")
            pages = s3.list_objects_v2(Bucket=bucket, Prefix=f"predictions/{case.name}/")
            for item in pages.get("Contents", []):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                table = arrow_io.read_parquet(body).read_all()
                found |= {row["sequence"]: row for row in table.to_struct_array().to_pylist()}
            time.sleep(0.2)
        return self._from_tables(case, [found[sequence] for sequence in sequences])

    # ---- requests ------------------------------------------------------------------------------

    def _json(self, value: Any) -> bytes:
        body = json.dumps(value, allow_nan=False).encode()
        if len(body) > REQUEST:
            raise Unsuited("as JSON the rows take more than a request may")
        return body

    def _post(self, path: str, body: bytes) -> Any:
        return self._request("POST", path, body).json()

    def _request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        status: int = 200,
    ) -> Any:
        kind = {"Content-Type": "application/json"} if body else {}
        url = path if path.startswith("http") else self.stage.api_url + path
        answer = self._http.request(method, url, body=body, headers={**kind, **(headers or {})})
        if answer.status != status:
            raise Wrong(f"{answer.status}: {answer.data.decode(errors='replace')[:300]}")
        return answer

    def _predictions(self, case: Attempt, answer: Any) -> Rows:
        return [
            {name: _array(row[name], wanted) for name, wanted in expected.items()}
            for row, expected in zip(answer["predictions"], case.alone, strict=True)
        ]

    def _by_shape(self, case: Attempt, infer: Callable[[Attempt, Rows], Rows]) -> Rows:
        found: Rows = [{}] * len(case.rows)
        for places in case.answered():  # a tensor has one shape
            answers = infer(case, [case.rows[place] for place in places])
            for place, answer in zip(places, answers, strict=True):
                found[place] = answer
        return found

    def _infer_json(self, case: Attempt, rows: Rows) -> Rows:
        inputs = []
        for name, stacked in stack(rows).items():
            flat = plain(stacked.ravel())
            inputs.append(header(name, stacked) | {"data": flat})
        path = f"/v2/models/{case.name}/infer"
        answer = self._post(path, self._json({"inputs": inputs}))
        return unstacked(
            {
                o["name"]: np.array(o["data"], DTYPES[o["datatype"]]).reshape(o["shape"])
                for o in answer["outputs"]
            },
            len(rows),
        )

    def _infer_binary(self, case: Attempt, rows: Rows) -> Rows:
        inputs, chunks = [], []
        for name, stacked in stack(rows).items():
            chunks.append(to_binary(stacked))
            size = {"parameters": {"binary_data_size": len(chunks[-1])}}
            inputs.append(header(name, stacked) | size)
        asked = {"inputs": inputs, "parameters": {"binary_data_output": True}}
        head = json.dumps(asked).encode()
        body = b"".join([head, *chunks])
        if len(body) > REQUEST:
            raise Unsuited("the rows take more bytes than a request may")
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
        }
        answer = self._request("POST", f"/v2/models/{case.name}/infer", body, headers)
        length = int(answer.headers["Inference-Header-Content-Length"])
        place, outputs = length, {}
        for output in json.loads(answer.data[:length])["outputs"]:
            size = output["parameters"]["binary_data_size"]
            values = from_binary(answer.data[place : place + size], output["datatype"])
            outputs[output["name"]] = values.reshape(output["shape"])
            place += size
        return unstacked(outputs, len(rows))

    # ---- tables --------------------------------------------------------------------------------

    def _narrow(self, case: Attempt) -> None:
        fixed = [o.name for o in case.outputs if not case.hints.most.get(o.name)]
        widest = max([case.alone[0][name].size for name in fixed], default=0)
        if widest > WIDE:
            raise Unsuited(f"an output of {widest:,} values a row is {widest:,} columns of a table")

    def _arrays(self, case: Attempt) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for row in case.rows:
            for name, value in row.items():
                if case.single(name):
                    for column, single in zip(case.columns(name), value, strict=True):
                        columns.setdefault(column, []).append(single)
                else:
                    columns.setdefault(feature_name(name), []).append(value)
        return columns

    def _from_tables(self, case: Attempt, rows: list[dict[str, Any]]) -> Rows:
        return [
            {name: _cells(row, name, wanted) for name, wanted in expected.items()}
            for row, expected in zip(rows, case.alone, strict=True)
        ]


PATHS = ("records", "oip_json", "oip_binary", "job", "batch", "stream")


def _array(value: Any, wanted: NDArray[Any]) -> NDArray[Any]:
    """A value of JSON or of a table as an array of the type that onnxruntime gave."""
    kind = object if wanted.dtype.kind in "OU" else wanted.dtype
    found = np.array(value, dtype=kind)
    if found.shape != wanted.shape and found.size == wanted.size:
        found = found.reshape(wanted.shape)
    return found


def _cells(row: dict[str, Any], name: str, wanted: NDArray[Any]) -> NDArray[Any]:
    if name in row:
        return _array(row[name], wanted)
    return _array([row[f"{name}_{place}"] for place in range(wanted.size)], wanted)


def _column(values: list[Any]) -> core.Array:
    first = values[0]
    if isinstance(first, str):
        return core.Array(values, core.DataType.utf8())
    if not isinstance(first, np.ndarray):
        return core.Array.from_numpy(np.array(values))
    if first.ndim == 0:
        return core.Array.from_numpy(np.array(values))
    offsets = core.Array.from_numpy(np.cumsum([0, *map(len, values)]).astype(np.int32))
    if first.ndim == 1:
        return core.list_array(offsets, core.Array.from_numpy(np.concatenate(values)))
    return core.list_array(offsets, _column([part for value in values for part in value]))
