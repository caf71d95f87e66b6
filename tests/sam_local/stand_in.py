"""An image that stands in for AWS's Lambda image of Python 3.13, where no registry is reached.

It is made of this machine's Python 3.13 and C libraries, of AWS's runtime client and of boto3,
laid out as in AWS's: /var/lang, /var/runtime, /var/task, /opt. What it is not: Amazon Linux.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.sam_local.podman import ROOT, Podman

__all__ = ["NAME", "make"]

NAME = "localhost/quintet/lambda-stand-in:3.13"
PYTHON = "python3.13"
#: what SAM's Dockerfile runs when it adds the emulator and the layers
TOOLS = ("sh", "chmod", "cp", "mv", "rm")
#: of the C library and the C++ runtime: what wheels may take for granted (PEP 600)
LIBRARIES = ("c", "dl", "gcc_s", "m", "nss_files", "pthread", "resolv", "rt", "stdc++", "util")
LEFT_OUT = ("__pycache__", "config-*", "ensurepip", "idlelib", "*-packages", "_t*.so", "test")
BOOTSTRAP = """\
#!/bin/sh
export PYTHONPATH=/opt/python:/var/runtime
exec /var/lang/bin/python3.13 -m awslambdaric "$_HANDLER"
"""
#: what AWS's image sets too, but for its locale
VARIABLES = {
    "LANG": "C.UTF-8",
    "TZ": ":UTC",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/task:/opt/lib",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}


def make(podman: Podman) -> None:
    """Make the image in that Podman."""
    root = podman.folder / "stand-in"
    _add_python(root)
    _add_runtime(root / "var/runtime")
    for folder in ("tmp", "var/task", "opt"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    changes = [f"--change=ENV {name}={value}" for name, value in VARIABLES.items()]
    changes.append("--change=WORKDIR /var/task")
    command = ["tar", "--directory", str(root), "--create", "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:
        podman.run("import", "--quiet", *changes, "-", NAME, stdin=tar.stdout)
    shutil.rmtree(root)


def _add_python(root: Path) -> None:
    """The interpreter, the standard library, a few tools, and the libraries of them all."""
    prefix = Path(_output(PYTHON, "-c", "import sys; print(sys.base_prefix)").strip())
    lang, library = root / "var/lang", Path("lib") / PYTHON
    shutil.copytree(prefix / library, lang / library, ignore=shutil.ignore_patterns(*LEFT_OUT))
    python = prefix / "bin" / PYTHON
    _copy(python, lang / "bin" / PYTHON)
    tools = [Path(shutil.which(name) or name) for name in TOOLS]
    for tool in tools:
        _copy(tool, root / "bin" / tool.name)
    for path in _libraries([python, *tools, *(lang / library).glob("lib-dynload/*.so")]):
        own = path.is_relative_to(prefix) and prefix != Path("/usr")
        _copy(path, lang / "lib" / path.name if own else root / path.relative_to("/"))


def _libraries(programs: list[Path]) -> set[Path]:
    """What the programs are linked to, and what else any image has."""
    linked = re.findall(r"(/\S+) \(0x", _output("ldd", *map(str, programs)))
    names = "|".join(map(re.escape, LIBRARIES))
    known = re.findall(
        rf"lib(?:{names})\.so\S* \(libc6,x86-64.* => (\S+)", _output("ldconfig", "-p")
    )
    return {Path(path) for path in (*linked, *known)}


def _add_runtime(folder: Path) -> None:
    """AWS's runtime client and boto3, which its image has too, and what starts them."""
    folder.mkdir(parents=True)
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet"]
    wheels = ["--target", str(folder), "--python-version", "3.13", "--only-binary", ":all:"]
    locked = ["--require-hashes", "-r", str(ROOT / "requirements/lambda.txt")]
    subprocess.run([*uv, *wheels, *locked], check=True)
    bootstrap = folder / "bootstrap"
    bootstrap.write_text(BOOTSTRAP)
    bootstrap.chmod(0o755)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
    return done.stdout
