"""Outputs that may be NaN or infinite (`finite: false`), as each form writes them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from tests.kits.batch import CONTRACT, Bench, csv_bytes, row, tiny_graph
from tests.kits.models import LOG, online, renamed
from tests.kits.packages import package

from quintet.aws.latest import _storable
from quintet.batch.planning import MemoryCatalog, Pinned
from quintet.batch.reports import report_run
from quintet.contract import AlertRule, Contract, Output
from quintet.errors import ModelFailure
from quintet.monitoring.histograms import Histogram
from quintet.onnx_model import OnnxModel
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import OIP, RECORDS, SAGEMAKER
from quintet.serving import RequestContext
from quintet.serving.golden import Golden, check
from quintet.streaming.thresholds import _past
from quintet_publish.package import read_package
from quintet_publish.problems import PackageError
from quintet_publish.release import prepare

OPEN = renamed(LOG, outputs=(replace(LOG.outputs[0], finite=False),))
#: the logarithms of x + y and x - y: 2 and 2, 0 and -2
ROWS = [{"x": 2, "y": 0}, {"x": -1, "y": 1}]
LN2 = float(np.log(np.float32(2)))
LOGS = np.array([[LN2, LN2], [-np.inf, np.nan]], np.float32)


def ask(protocol: Any, body: Any, contract: Contract = OPEN, **headers: str) -> Response:
    service = online(contract)
    paths = {"records": "/models/{model}/predict", "sagemaker": "/endpoints/{model}/invocations"}
    request = Request(
        "POST",
        paths.get(protocol.name, "/v2/{proxy+}"),
        {"model": "log", "endpoint": "log", "proxy": "models/log/infer"},
        {
            "content-type": "application/json",
            **{k.replace("_", "-"): v for k, v in headers.items()},
        },
        orjson.dumps(body),
    )
    response: Response = protocol.answer(service, request, RequestContext())
    return response


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with np.errstate(all="ignore"):
        yield


def test_they_are_refused_unless_the_contract_allows_them() -> None:
    with pytest.raises(ModelFailure) as caught:
        ask(RECORDS, {"records": ROWS}, LOG)
    assert str(caught.value) == "row 1: logs: expected a finite output, got -inf"


def test_json_has_null() -> None:
    found = orjson.loads(ask(RECORDS, {"records": ROWS}).body)
    wanted = [{"logs": [pytest.approx(LN2)] * 2}, {"logs": [None, None]}]
    assert found["predictions"] == wanted
    assert orjson.loads(ask(SAGEMAKER, {"instances": ROWS}).body)["predictions"] == wanted
    tensor = {"name": "XY", "datatype": "FP32", "shape": [2, 2], "data": [2, 0, -1, 1]}
    (output,) = orjson.loads(ask(OIP, {"inputs": [tensor]}).body)["outputs"]
    assert output["data"] == [pytest.approx(LN2), pytest.approx(LN2), None, None]


def test_binary_forms_have_the_values_and_csv_their_names() -> None:
    tensor = {"name": "XY", "datatype": "FP32", "shape": [2, 2], "data": [2, 0, -1, 1]}
    asked = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    response = ask(OIP, asked)
    raw = response.body[int(response.headers["Inference-Header-Content-Length"]) :]
    np.testing.assert_allclose(np.frombuffer(raw, "<f4").reshape(2, 2), LOGS, rtol=1e-6)
    npy = ask(SAGEMAKER, {"instances": ROWS}, accept="application/x-npy").body
    np.testing.assert_allclose(np.load(io.BytesIO(npy)), LOGS, rtol=1e-6)
    text = ask(SAGEMAKER, {"instances": ROWS}, accept="text/csv").body
    assert text.decode().splitlines()[1] == "-inf,nan"


# ---- batch runs: a missing rate makes the score NaN ----------------------------------------------

GAPS = replace(
    CONTRACT,
    features=tuple(
        replace(f, default=None, missing="nan") if f.name == "rate" else f
        for f in CONTRACT.features
    ),
    outputs=tuple(replace(o, finite=False) if o.name == "score" else o for o in CONTRACT.outputs),
)
CATALOG = MemoryCatalog(Pinned(3, "d" * 64, "s" * 64, GAPS))


def run(body: bytes, output: str) -> tuple[dict[str, Any], bytes]:
    """The report of a run, and its file of scores."""
    bench = Bench(CATALOG, OnnxModel(GAPS, tiny_graph(), digest="d" * 64))
    plan = bench.plan("tiny/a.csv", body, output=output)
    bench.score(plan)
    report_run(
        plan.folder,
        store=bench.store,
        cells=bench.cells,
        clock=lambda: datetime(2026, 11, 20, 9, tzinfo=UTC),
    )
    (key,) = bench.store.keys(f"{plan.folder.root}scores/")
    return orjson.loads(bench.store.objects[plan.folder.report]), bench.store.objects[key]


BODY = csv_bytes([row(0), row(1, rate=""), row(2, rate="nan")])


def test_a_runs_files_have_them() -> None:
    _, lines = run(BODY, "jsonl")
    scores = [orjson.loads(line)["score"] for line in lines.splitlines()]
    assert scores == [0.5, None, None]
    report, table = run(BODY, "csv")
    cells = [line["score"] for line in csv.DictReader(io.StringIO(table.decode()))]
    assert cells == ["0.5", "NaN", "NaN"]
    assert (report["counts"]["scored"], report["counts"]["quarantined"]) == (3, 0)
    assert sum(report["histogram"]["counts"]) == 1


def test_a_column_that_is_missing_in_all_rows_is_told() -> None:
    rows = [{name: value for name, value in row(n).items() if name != "rate"} for n in range(3)]
    report, _ = run(csv_bytes([{**one, "Rate": 1} for one in rows]), "csv")
    assert [note for note in report["notes"] if note.startswith("rate ")] == [
        "rate was missing in all 3 rows of the file, as none has a value for it: they were scored "
        "with NaN. Is it 'Rate', which is there?"
    ]


# ---- what follows a prediction -------------------------------------------------------------------


def test_no_alert_is_raised_no_bin_filled_and_null_stored() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 5], np.float32)
    rule = AlertRule(output="y", above=1, below=0)
    assert _past(rule, values).tolist() == [False, False, False, True]
    histogram = Histogram(Output(name="y", dtype="float32", shape=(-1,), meaning="score"))
    histogram.add(values)
    document = histogram.document()
    assert (document["low"], document["high"], document["sum"]) == (5.0, 5.0, 5.0)
    assert sum(document["counts"]) == 1
    assert _storable(values) == [None, None, None, np.float32(5)]


# ---- golden vectors ----------------------------------------------------------------------------


def test_null_in_golden_outputs_is_an_output_that_is_not_finite() -> None:
    model = online(OPEN).models.get("log")
    columns = {"x": [2.0, -1.0], "y": [0.0, 1.0]}
    assert check(model, Golden(columns, {"logs": [[LN2, LN2], [None, None]]})) == []
    found = check(model, Golden(columns, {"logs": [[None, LN2], [0.0, None]]}))
    assert [*map(str, found)] == [
        f"row 0: logs[0]: expected nan, got {float(LOGS[0, 0])!r}",
        "row 1: logs[0]: expected 0.0, got -inf",
    ]


def gaps(folder: Path, finite: str) -> Path:
    """The small package (y = 2a + b) with a value that may be missing, and its golden rows."""
    made = package(folder)
    text = (made / "model.yaml").read_text().replace("default: 1.0", "missing: nan")
    (made / "model.yaml").write_text(text.replace("meaning: score", f"meaning: score{finite}"))
    golden = {"columns": {"a": [1, 2], "b": [None, 1]}, "outputs": {"y": [[None], [5]]}}
    (made / "golden.json").write_text(json.dumps(golden))
    return made


def test_a_package_with_such_outputs_is_published(tmp_path: Path) -> None:
    release = prepare(gaps(tmp_path / "open", ", finite: false"), lambda *_: None)
    assert release.contract.outputs[0].finite is False
    with pytest.raises(PackageError) as caught:
        read_package(gaps(tmp_path / "closed", ""))
    assert str(caught.value) == "golden.json: outputs.y: row 0: expected float32, got [None]"
