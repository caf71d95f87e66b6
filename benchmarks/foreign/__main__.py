"""Serve models and exports that others made: python -m benchmarks.foreign [--export] [NAME...]

With `--export`, the cases are made first, in an environment of their own (build/foreign/venv):
torch, CatBoost and the like are large. So are the sections on exporters of
docs/exporters.md that need these, and what docs/cookbook/torch.md trains, which is kept
beside the page. The table is docs/foreign-models.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx
from benchmarks.foreign.cases import cases
from benchmarks.foreign.exports.case import OUT
from benchmarks.foreign.page import PAGE, page
from benchmarks.foreign.paths import Paths
from benchmarks.foreign.serving import Found, from_json, serve, to_json
from benchmarks.foreign.snippets import LIGHT, snippets
from docs.recipes import COOKBOOK, training
from tests.kits.local_aws import start_local_aws

from quintet_cli.stage import Stage
from quintet_publish.kit import drop_notes

BUILD = Path("build/foreign")
RESULTS = BUILD / "results.json"
EXPORTS = ("with_sklearn", "with_trees", "with_torch", "by_hand", "from_wheels")


def main() -> int:
    """Return the number of cases that are neither served nor refused with a reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--export", action="store_true", help="make the cases first")
    given = parser.parse_args()
    if given.export:
        export()
    known = {
        found.name: found for found in (from_json(RESULTS.read_text()) if RESULTS.exists() else [])
    }
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        local = start_local_aws(scratch / "state")
        try:
            paths = Paths(Stage.open("local", scratch / "state"), scratch)
            began = time.monotonic()
            for found in serve(cases(OUT, given.names), paths, scratch / "packages"):
                known[found.name] = found
                print(f"{time.monotonic() - began:6.1f} s  {line(found)}", flush=True)
        finally:
            local.stop()
    minutes = (time.monotonic() - began) / 60
    RESULTS.write_text(to_json([*known.values()]))
    if not given.names:
        PAGE.write_text(page([*known.values()], minutes), encoding="utf-8")
    return sum(not (one.served or one.refused) for one in known.values())


def line(found: Found) -> str:
    """A case in one line."""
    if found.refused:
        return f"{found.name}: refused: {found.refused[:200]}"
    mends = f" after {', '.join(found.mends)}" if found.mends else ""
    bad = {name: value for name, value in found.paths.items() if isinstance(value, str)}
    return f"{found.name}: {'served' if found.served else 'NOT SERVED'}{mends} {bad or ''}"


def export() -> None:
    """Make the environment once, then every case."""
    python = BUILD / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(BUILD / "venv")], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "-r"]
    subprocess.run([*pip, str(Path(__file__).with_name("requirements.txt"))], check=True)
    for module in EXPORTS:
        print(module, flush=True)
        subprocess.run([str(python), "-m", f"benchmarks.foreign.exports.{module}"], check=True)
    for snippet in snippets():
        if snippet.title not in LIGHT:
            with tempfile.TemporaryDirectory() as folder:
                snippet.run(str(python.absolute()), Path(folder))
                snippet.publish(Path(folder))
            print(f"docs/exporters.md: {snippet.title} publishes", flush=True)
    train_recipe(python.absolute())


def train_recipe(python: Path) -> None:
    """Run the script of docs/cookbook/torch.md; `make test` goes on from what it writes."""
    folder = COOKBOOK / "torch"
    code = training(folder.with_suffix(".md"))
    assert code is not None
    subprocess.run([str(python), "-W", "ignore", "-c", code], cwd=folder, check=True)
    model = onnx.load(folder / "knocks.onnx")
    drop_notes(model)  # they name files of this machine
    onnx.save(model, folder / "knocks.onnx")
    print("docs/cookbook/torch.md: trained", flush=True)


if __name__ == "__main__":
    sys.exit(main())
