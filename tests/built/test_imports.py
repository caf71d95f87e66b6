"""The packages of the layers, imported with nothing else on the path."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.built.artefacts import built
from tests.built.emulator import ARCHITECTURE

pytestmark = pytest.mark.built

#: what loads the cryptography, which the package itself does not
SEALING = ("quintet.captures.sealing", "quintet.captures.opening")
TOKENS = ("quintet.callers.tokens", "quintet.callers.issuer_keys")
#: layers that one function has together, what they hold among other packages, and its loaders
SETS = (
    (
        ("RuntimeLayer", "ColumnarLayer", "SealingLayer", "QuintetLayer"),
        {"onnxruntime", "numpy", "datasketches", "arro3.core", "arro3.io", "quintet"},
        SEALING,
    ),
    (("RuntimeLayer", "CallersLayer", "QuintetLayer"), {"jwt", "cryptography", "quintet"}, TOKENS),
)


def packages(folder: Path) -> list[str]:
    """What can be imported from a folder, by name."""
    modules = [path.stem for path in folder.glob("*.py")]
    inner = [path.parent for path in folder.glob("*/__init__.py")]
    # a folder without one is a name for what lies below it, as arro3 is
    below = [path.parent for path in folder.glob("*/*/__init__.py")]
    below = [path for path in below if path.parent not in inner]
    found = [".".join(path.relative_to(folder).parts) for path in (*inner, *below)]
    return sorted([*modules, *found])


@pytest.mark.parametrize(("layers", "held", "loaders"), SETS, ids=["sealing", "tokens"])
def test_the_packages_of_the_layers_need_nothing_that_is_not_there(
    tmp_path: Path, layers: tuple[str, ...], held: set[str], loaders: tuple[str, ...]
) -> None:
    folders = [built(ARCHITECTURE).layer(name) / "python" for name in layers]
    names = [name for folder in folders for name in packages(folder)]
    assert held <= set(names)
    done = subprocess.run(
        ["python3.13", "-SPc", "".join(f"import {name}\n" for name in [*names, *loaders])],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
            "ORT_DISABLE_TELEMETRY": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
