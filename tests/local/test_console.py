"""The console on the local AWS: what its panels show of a stage that was used, and a replay."""

from __future__ import annotations

import csv
import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.kits.console import Served, served
from tests.kits.local_aws import ROOT, LocalAws, eventually
from typer.testing import CliRunner

from quintet_cli.app import app
from quintet_cli.stage import Stage

SECONDS = 90
#: in a name of a file, and in a value that is refused
PLANTED = "<img src=x onerror=alert(1)>"


def command(local: LocalAws, *words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--state", str(local.state)])
    assert done.exit_code in (0, 1), done.output
    return done.output


@pytest.fixture(scope="module")
def local(local_aws: LocalAws) -> LocalAws:
    for model in ("tickets", "churn"):
        command(local_aws, "publish", str(ROOT / "models" / model))
    return local_aws


@pytest.fixture(scope="module")
def console(local: LocalAws) -> Iterator[Served]:
    with served(Stage.open("local", local.state)) as found:
        yield found


@pytest.fixture(scope="module")
def run(local: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of churn whose file has a name with markup, and a row that is refused."""
    rows = list(csv.reader((ROOT / "models/churn/data/customers.csv").open()))[:40]
    rows[7][1] = PLANTED
    file = tmp_path_factory.mktemp("console") / f"{PLANTED}.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    told = command(local, "drop", str(file), "churn")
    found = re.search(r"quintet runs report churn (\S+)", told)
    assert found, told
    return found[1]


def ask(local: LocalAws, headers: dict[str, str]) -> dict[str, str]:
    body = json.dumps({"records": [{"text": "The zipper broke"}]}).encode()
    asked = urllib.request.Request(
        f"{local.api_url}/models/tickets/predict",
        body,
        {"Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
        return dict(answer.headers)


def panel(console: Served, name: str, *texts: str) -> str:
    """A panel's page, once it shows all of these texts."""

    def look() -> str | None:
        page = console.get(f"/panels/{name}").text
        return page if all(text in unescape(page) for text in texts) else None

    return eventually(look, SECONDS)


def test_a_request_is_in_the_panels_of_models_traffic_budgets_and_captures(
    console: Served, local: LocalAws
) -> None:
    event = ask(local, {})["X-Quintet-Event"]
    panel(console, "models", "tickets", "live")
    panel(console, "rollouts", "tickets", "published")
    charts = panel(console, "traffic", "tickets")
    assert '"tickets"' in unescape(charts.partition("data-series=")[2])
    assert re.search(r"newest p95\" class=\"n\">[\d.]+ ms<", charts)
    panel(console, "slo", "tickets", "counts and budgets of 30 days")
    place = f"/captures?model=tickets&event={event}"
    eventually(lambda: console.get(place).status == 200, SECONDS)
    shown = console.get(place)
    assert event in shown.text
    assert "probabilities" in shown.text
    assert console.get("/captures?model=../x&event=1").status == 400


def test_a_job_is_in_its_panel(console: Served, local: LocalAws) -> None:
    job = ask(local, {"Prefer": "respond-async"})["Location"].rpartition("/")[2]
    panel(console, "jobs", job, "tickets")


def test_a_run_has_its_report_in_a_sandbox(console: Served, run: str) -> None:
    page = panel(console, "runs", run, "succeeded")
    assert PLANTED not in page
    assert f"{PLANTED}.csv" in unescape(page)
    link = re.search(rf'href="(/reports/run\?[^"]*{re.escape(run)}[^"]*)"', page)
    assert link
    report = console.get(unescape(link[1]))
    policy = report.headers["content-security-policy"]
    assert report.status == 200
    assert "<title>" in report.text
    assert policy.startswith("sandbox; default-src 'none'")
    assert "unsafe-inline" not in policy
    assert policy.count("'sha256-") >= 1
    assert console.get(f"/reports/run?{urlencode({'model': 'churn', 'run': 'none'})}").status == 404


def test_records_of_the_stream_are_in_its_panel(
    console: Served, local: LocalAws, tmp_path: Path
) -> None:
    command(local, "publish", str(ROOT / "models/sensor"))
    readings = (ROOT / "models/sensor/data/readings.jsonl").read_text().splitlines()[:20]
    (tmp_path / "readings.jsonl").write_text("\n".join(readings))
    command(local, "stream", "send", str(tmp_path / "readings.jsonl"), "sensor", "--now")
    panel(console, "stream", local.outputs["EventsStreamName"], "shards open", "Behind: ")
    window = panel(console, "stream", "temperature_mean")  # once it closes
    assert 'aria-label="Newest windows"' in window


def test_a_rollout_is_in_its_panel_with_its_gates(
    console: Served, local: LocalAws, tmp_path: Path
) -> None:
    package, model = tmp_path / "package", "tickets-of-console"
    shutil.copytree(ROOT / "models/tickets", package)
    contract = package / "model.yaml"
    text = re.sub(r"^name: .*", f"name: {model}", contract.read_text(), flags=re.M)
    for version in (1, 2):
        contract.write_text(re.sub(r"^version: .*", f"version: {version}", text, flags=re.M))
        command(local, "publish", str(package))
    command(local, "rollout", "start", model, "2", "--skip-shadow", "--reason", PLANTED)
    try:
        page = panel(console, "rollouts", f"{model}: version 2", "Verdict: ")
        assert f'aria-label="Gates of {model}"' in page
        assert PLANTED not in page
        assert PLANTED in unescape(page)
    finally:
        command(local, "rollout", "rollback", model)


def test_a_days_report_opens(console: Served, local: LocalAws, tmp_path: Path) -> None:
    day = re.search(r'datetime="(\d{4}-\d\d-\d\d)', console.get("/panels/models").text)
    ask(local, {})
    assert day
    today = day[1]
    command(local, "monitor", "tickets", "--day", today, "--out", str(tmp_path / "day.html"))
    panel(console, "drift", "tickets", today)
    report = console.get(f"/reports/day?model=tickets&day={today}")
    assert (report.status, "tickets" in report.text) == (200, True)
    assert console.get("/reports/day?model=tickets&day=1999-01-01").status == 404
    assert console.get("/reports/day?model=tickets&day=today").status == 400


def test_a_replay_is_asked_for_twice_and_leaves_a_record(console: Served, run: str) -> None:
    name = f"churn/{run}"
    panel(console, "refused", name)
    looked = console.get(f"/refused?{urlencode({'name': name})}")
    assert "1 of 1 rows would be sent" in looked.text
    assert PLANTED not in looked.text
    assert PLANTED in unescape(looked.text)

    none = console.post("/replays/start", {"replay": "guess", "confirm": name})
    assert (none.status, "Nothing was replayed" in none.text) == (404, True)
    asked = console.post("/replays", {"name": name})
    assert "names you" in asked.text
    question = re.search(r'name="replay" value="([^"]+)"', asked.text)
    assert question
    wrong = console.post("/replays/start", {"replay": question[1], "confirm": "yes"})
    assert (wrong.status, "expected churn/" in unescape(wrong.text)) == (400, True)
    started = console.post("/replays/start", {"replay": question[1], "confirm": name})
    assert started.status == 303
    again = console.post("/replays/start", {"replay": question[1], "confirm": name})
    assert again.status == 404

    place = started.headers["location"]
    eventually(lambda: "done" in console.get(f"{place}/state").text, SECONDS)
    assert "1 sent" in console.get(place).text
    panel(console, "refused", name, "(quintet console)")  # its audit record
    assert "0 of 1 rows would be sent" in console.get(f"/refused?{urlencode({'name': name})}").text


def test_a_source_that_does_not_exist_is_said(console: Served) -> None:
    answer = console.get("/refused?name=Nothing")
    assert (answer.status, "no dead-letter queue is named Nothing" in answer.text) == (502, True)
    assert console.post("/replays", {"name": ""}).status == 400
