"""Least privilege, both ways: python -m tests.privileges [--write] [--from FOLDER] [tests...]

Runs tests of the local AWS, reads at its front what every function calls, and compares that with
the statements of its role: a call that no statement allows fails the tests, and an action or a
resource that no call uses is an error unless tests/template/privileges.toml gives its reason.
`--from` reads what other runs of the tests left in a folder that QUINTET_PRIVILEGES named.
`--write` renews tests/template/privileges.json, by which tests/template/test_privileges.py holds
the template on every run. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kits.aws import ROOT
from tests.kits.privileges import (
    FOLDER,
    differences,
    exceptions,
    left_over,
    read,
    statements,
    write,
)

from quintet_local.permissions import Use


def main() -> int:
    """Run the tests and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tests", nargs="*", default=["tests/local"], help="default: tests/local")
    parser.add_argument("--write", action="store_true", help="renew privileges.json")
    parser.add_argument("--from", dest="folder", type=Path, help="do not run tests")
    asked = parser.parse_args()
    if asked.folder is not None:
        failed, found = False, read(asked.folder)
    else:
        failed, found = record(asked.tests)
    allowed = statements()
    found = {use for use in found if use[0] in allowed}
    if asked.write and not failed:
        write(found)
    lines = left_over(differences(allowed, found))
    print("\n".join(lines))
    told = {
        "name": "privileges",
        "functions": len(allowed),
        "used": len(found),
        "differences": len(lines),
        "exceptions": len(exceptions()),
        "failures": len(lines) + failed,
    }
    print(json.dumps(told))
    return 1 if told["failures"] else 0


def record(tests: list[str]) -> tuple[bool, set[Use]]:
    """Run tests; whether they failed, and what was used."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", *tests]
        ran = subprocess.run(command, cwd=ROOT, env={**os.environ, FOLDER: folder}, check=False)
        return ran.returncode != 0, read(Path(folder))


if __name__ == "__main__":
    sys.exit(main())
