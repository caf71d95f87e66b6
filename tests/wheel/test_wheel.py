"""The wheel in an environment that has nothing else, and in folders without a clone."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[2]
QUINTET = ROOT / ".venv-wheel/bin/quintet"
INSIDE = "quintet_cli/project/"
MOST_BYTES = 8_000_000
#: what the wheel has of the project, and what of it only training reads
PARTS = ("template.yaml", "samconfig.toml", "events", "functions", "models", "statemachines")
LAYERS = ("layers/quintet/Makefile", "layers/wheels")
LEFT_OUT = ("models/candidates/data/purchases.parquet", "models/digits/")


def quintet(folder: Path, *words: str, code: int = 0) -> str:
    """What the installed command prints in a folder."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [QUINTET, *words], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; a local AWS that runs from it is stopped."""
    yield tmp_path
    quintet(tmp_path, "down")


@pytest.fixture(scope="module")
def wheel() -> ZipFile:
    """The wheel that was installed."""
    (path,) = (ROOT / "dist").glob("quintet_serving-*.whl")
    assert path.stat().st_size <= MOST_BYTES
    return ZipFile(path)


def test_it_has_the_project_of_the_clone(wheel: ZipFile) -> None:
    listed = subprocess.run(
        ["git", "ls-files", *PARTS, *LAYERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {name for name in listed.stdout.splitlines() if not name.startswith(LEFT_OUT)}
    has = {name.removeprefix(INSIDE) for name in wheel.namelist() if name.startswith(INSIDE)}
    assert has == wanted
    assert {
        name for name in has if wheel.read(INSIDE + name) != (ROOT / name).read_bytes()
    } == set()


def test_the_demo_runs_in_an_empty_folder(folder: Path) -> None:
    few = ("--orders", "40", "--jobs", "10")
    told = quintet(folder, "demo", *few, "--port", "0", "--api-port", "0")
    assert "The project is the package's own; `quintet new DIR` writes it to a folder." in told
    assert "done in " in told
    assert "the local AWS goes on until `quintet down`" in told
    assert "source .venv" not in told
    assert [path.name for path in folder.iterdir()] == [".quintet"]


def test_a_new_folder_is_a_project_of_its_own(folder: Path) -> None:
    quintet(folder, "new", "shop")
    shop = folder / "shop"
    assert (shop / "template.yaml").read_bytes() == (ROOT / "template.yaml").read_bytes()
    package = "layers/quintet/quintet/record.py"
    assert (shop / package).read_bytes() == (ROOT / package).read_bytes()
    assert not list(shop.rglob("__pycache__"))
    assert "DIR: expected a folder that is empty" in quintet(folder, "new", "shop", code=4)
    handler = shop / "functions/predict/app.py"
    handler.write_text(handler.read_text() + "\nprint('this handler is mine')\n")
    state = ("--state", str(folder / ".quintet"))
    told = quintet(shop, "up", "--detach", "--port", "0", "--api-port", "0", *state)
    url = re.search(r"^Console +(http://\S+)$", told, re.M)
    assert url is not None
    visit = build_opener(ProxyHandler({}), HTTPCookieProcessor())
    with visit.open(url[1], timeout=60) as page:
        assert b"Models and routes" in page.read()
    with visit.open(urljoin(url[1], "/static/htmx.min.js"), timeout=60) as script:
        assert script.status == 200
    quintet(shop, "publish", "models/tickets", *state)
    asked = ("predict", "tickets", "--records", json.dumps({"text": "the zipper broke"}))
    assert json.loads(quintet(shop, *asked, *state))["model"] == "tickets"
    assert "this handler is mine" in (folder / ".quintet/logs/Predict.log").read_text()


def test_a_folder_of_another_version_is_told(folder: Path) -> None:
    quintet(folder, "new", "shop")
    shop = folder / "shop"
    (shop / ".quintet-version").write_text("0.0.1\n")
    assert "no local AWS is running" in quintet(shop, "doctor", code=5)
    state = ("--state", str(folder / ".quintet"))
    quintet(shop, "up", "--detach", "--port", "0", "--api-port", "0", *state)
    told = " ".join(quintet(shop, "doctor", *state, "--seconds", "60", code=1).split())
    assert "this folder was written by quintet 0.0.1, and 0.1.0 is installed" in told
