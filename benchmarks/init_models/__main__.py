"""How many graphs are served as `quintet init` packs them: python -m benchmarks.init_models

Each of 34 graphs goes through `quintet init MODEL.onnx SAMPLE --yes` without an edit, is published
on the local AWS and asked for the first rows of its sample; the answers are compared with
onnxruntime's own of the graph as it was exported. With `--foreign`, the cases that
`make foreign-models` exported (torch, CatBoost, XGBoost and others) follow, with their rows as the
sample.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.init_models.by_hand import BY_HAND, huge
from benchmarks.init_models.case import Case, flat
from benchmarks.init_models.foreign import foreign_cases
from benchmarks.init_models.with_trainers import TRAINED
from tests.kits.local_aws import LocalAws, start_local_aws

from quintet_cli.api import Api
from quintet_cli.stage import Stage
from quintet_publish.package import read_package

ROWS = 3
LEAST = 0.9  # of the graphs
TOLERANCE = 1e-4


def main() -> int:
    """Print the table; return 1 if less than the share `LEAST` is served."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--foreign", action="store_true", help="add make foreign-models' cases")
    given = parser.parse_args()
    print("| Graph | Exporter | Seconds | Result |\n|---|---|---|---|")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        local = start_local_aws(Path(folder, "state"))
        try:
            for case in _cases(foreign=given.foreign):
                if not given.names or case.name in given.names:
                    results.append(_line(case, Path(folder, case.name), local))
        finally:
            local.stop()
    served, refused = results.count("served"), results.count("refused")
    print(f"\n{served} of {len(results)} served with no edit, {refused} refused with the reason")
    return int(served < LEAST * len(results))


def _cases(*, foreign: bool) -> Iterator[Case]:
    """Every graph, one at a time."""
    for make in (*TRAINED, *BY_HAND):
        yield make()
    yield huge()
    if foreign:
        yield from foreign_cases()


def _line(case: Case, folder: Path, local: LocalAws) -> str:
    began = time.monotonic()
    try:
        result, text = _served(case, folder, local)
    except Exception as error:  # a failure is a finding, not the end of the table
        result, text = "failed", f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - began
    detail = " ".join(text.split())[:160]
    print(f"| {case.name} | {case.exporter} | {seconds:.1f} | {result}: {detail} |", flush=True)
    return result


def _served(case: Case, folder: Path, local: LocalAws) -> tuple[str, str]:
    graph, sample = case.write(folder)
    package = folder / "package"
    label = ["--label", case.label] if case.label else []
    files = [str(path) for path in (graph, sample) if path is not None]
    made = _run("init", *files, *label, "--out", str(package), "--yes")
    if made.returncode:
        known = case.refused and case.refused in " ".join(made.stderr.split())
        return "refused" if known else "failed", made.stderr
    published = _run("publish", str(package), "--state", str(local.state))
    if published.returncode:
        return "failed", published.stderr
    contract = read_package(package).contract
    rows = list(case.records[:ROWS])
    keys = [feature.key for feature in contract.requested]
    known = all(key in row for row in rows for key in keys)
    records = [{key: row[key] for key in keys if row[key] is not None} for row in rows if known]
    api = Api(Stage.open("local", local.state))
    if not records:
        body = json.loads((package / "request.json").read_text(encoding="utf-8"))
        answer = api.request("POST", f"/models/{contract.name}/predict", body)
        return ("served" if answer.status == 200 else "failed"), "request.json"
    asked = {"records": records}
    answer = api.request("POST", f"/models/{contract.name}/predict", asked)
    if answer.status != 200:
        return "failed", json.dumps(answer.body)
    apart = max(
        _apart(found, wanted)
        for found, wanted in zip(
            answer.body["predictions"], case.expected(folder, ROWS), strict=True
        )
    )
    return ("served" if apart <= TOLERANCE else "failed"), f"differs by {apart:.1g}"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("quintet")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _apart(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    """The largest difference of the outputs that are served; infinite for other labels or sizes."""
    worst = 0.0
    for name, values in wanted.items():
        if name not in found:
            continue
        got = flat(found[name])
        if values.dtype.kind in "OUbiu":
            worst = max(worst, 0.0 if got.tolist() == values.tolist() else float("inf"))
        elif got.shape[0] < values.shape[0] and values.shape[0] % got.shape[0] == 0:
            worst = max(worst, float(np.abs(got - values[: len(got)]).max()))  # one of its rows
        else:
            worst = max(worst, float(np.abs(got - values).max()))
    return worst


if __name__ == "__main__":
    sys.exit(main())
