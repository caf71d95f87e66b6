"""What `sam build` runs for the layers, when it is not run as it should be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.kits.local_aws import ROOT

LAYERS = [
    ("wheels", "x86_64/Makefile", "RuntimeLayer"),
    ("wheels", "arm64/Makefile", "ColumnarLayer"),
    ("quintet", "Makefile", "QuintetLayer"),
]


@pytest.mark.parametrize(("folder", "makefile", "layer"), LAYERS)
@pytest.mark.parametrize("python", ["python3.11", "python-that-is-not-there"])
def test_another_python_is_refused_before_anything_is_built(
    tmp_path: Path, folder: str, makefile: str, layer: str, python: str
) -> None:
    done = subprocess.run(
        ["make", "-f", makefile, f"build-{layer}", f"PYTHON={python}", f"ARTIFACTS_DIR={tmp_path}"],
        cwd=ROOT / "layers" / folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        f"layers are built by the runtime's own Python, 3.13, and {python} is not one: "
        "put python3.13 on PATH"
    )
    assert list(tmp_path.iterdir()) == []
