"""What is deployed, read by security tools: python -m tests.audit TOOLS

TOOLS is the folder of bandit, checkov, cyclonedx-py and pip-audit; `make audit` makes it. bandit
reads the code, checkov the template as SAM expands it: a finding without an answer (pyproject.toml,
tests/audit/checkov.yaml) fails. An SBOM (CycloneDX) of each layer is written to build/sbom, and
pip-audit looks each package up; what it could not look up, without its service, is counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kits.aws import ROOT

from quintet_local.template import load

CODE = ("functions", "layers/quintet", "cli", "publish", "local", "wheel_project.py")
LOCKS = sorted((ROOT / "layers/wheels").glob("*.txt"))
SBOMS = ROOT / "build/sbom"
#: the template's conditions that add resources
PARAMETERS = {"SealedCaptures": "on", "BatchInputBucketArn": "arn:aws:s3:::their-files"}


def main() -> int:
    """Run each tool; 1 if one of them found something."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tools", type=Path, help="the folder of the commands")
    tools = parser.parse_args().tools.resolve()
    failed = [
        *(["bandit"] if _run(tools / "bandit", "-q", "-c", "pyproject.toml", "-r", *CODE) else []),
        *(["checkov"] if checkov(tools / "checkov") else []),
    ]
    for lock in LOCKS:
        write_sbom(tools / "cyclonedx-py", lock)
        failed += [f"{lock.stem}: {line}" for line in vulnerable(tools / "pip-audit", lock)]
    print(f"failed: {', '.join(failed)}" if failed else "no finding without an answer")
    return 1 if failed else 0


def checkov(tool: Path) -> int:
    """Run checkov on the template as SAM expands it."""
    expanded = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": load(ROOT / "template.yaml", PARAMETERS).resources,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.json"
        path.write_text(json.dumps(expanded, default=str))
        return _run(tool, "--config-file", "tests/audit/checkov.yaml", "-f", str(path))


def write_sbom(tool: Path, lock: Path) -> None:
    """Write the bill of materials of a layer's packages."""
    SBOMS.mkdir(parents=True, exist_ok=True)
    path = SBOMS / f"{lock.stem}.json"
    _run(tool, "requirements", str(lock), "--output-reproducible", "-o", str(path), check=True)
    components = json.loads(path.read_bytes())["components"]
    print(f"{path.relative_to(ROOT)}: {len(components)} packages")


def vulnerable(tool: Path, lock: Path) -> list[str]:
    """A line for each known vulnerability of a layer's packages."""
    command: list[str | Path] = [tool, "--no-deps", "--disable-pip", "-f", "json", "-r", lock]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        found = json.loads(ran.stdout)["dependencies"]
    except ValueError:
        print(f"{lock.stem}: pip-audit COULD NOT RUN: {ran.stderr.strip().splitlines()[-1:]}")
        return []
    unknown = [one["name"] for one in found if "skip_reason" in one]
    if unknown:
        print(f"{lock.stem}: pip-audit could NOT look up {len(unknown)} of {len(found)} packages")
    return [f"{one['name']} {bug['id']}" for one in found for bug in one.get("vulns", [])]


def _run(tool: Path, *words: str, check: bool = False) -> int:
    return subprocess.run([tool, *words], cwd=ROOT, check=check).returncode


if __name__ == "__main__":
    sys.exit(main())
