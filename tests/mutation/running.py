"""Runs mutmut on the modules of a subject, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kits.aws import ROOT
from tests.mutation.subjects import Subject

__all__ = ["Broken", "Mutant", "mutants"]

#: what the tests read beside the package, which alone is copied
BESIDE = (
    "benchmarks",
    "cli",
    "docs",
    "events",
    "functions",
    "local",
    "models",
    "publish",
    "statemachines",
    "template.yaml",
    "tests",
)
#: ends of mutants whose lines are not asked for
PLAIN = ("killed", "not checked")
DIFFS = Path(__file__).with_name("diffs.py")
_MUTMUT = str(Path(sys.executable).with_name("mutmut"))
#: mutants of a function, when some are drawn
MOST = 500
#: plugins that no test of a mutant uses: each run of pytest would load them
PLUGINS = ("cacheprovider", "schemathesis", "xdist", "anyio")
#: the package comes from the folder, so that its mutants are imported
PYTHONPATH = ". local publish cli"


class Broken(Exception):
    """mutmut could not run: the tests fail without a mutant, or reach no module."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutant and its end: killed, survived, no tests, timeout, segfault, suspicious, not checked.

    `before` and `after` are the changed lines; empty of one that was killed, or did not run.
    """

    module: str
    function: str
    end: str
    before: str = ""
    after: str = ""


def mutants(subject: Subject, step: int = 1, seed: int = 0) -> list[Mutant]:
    """Run the subject's tests, but for property tests, on the mutants of its modules.

    Only every `step`th of each function is run, from `seed`.

    Raises:
        Broken: mutmut could not run.
    """
    some = [f"*__mutmut_{number}" for number in range(seed % step or step, MOST, step)]
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        place = Path(folder)
        _lay(place, subject)
        ran = _ran(place, _MUTMUT, "run", "--max-children", "1", *(some if step > 1 else []))
        if ran.returncode != 0:
            raise Broken(
                "\n".join([*ran.stdout.splitlines()[-40:], *ran.stderr.splitlines()[-20:]])
            )
        shown = _ran(place, _MUTMUT, "results", "--all", "true").stdout
        ends = dict(re.findall(r"^ +(\S+): (.+)$", shown, re.M))
        asked = [name for name, end in ends.items() if end not in PLAIN]
        diffs = json.loads(_ran(place, sys.executable, str(DIFFS), *asked).stdout)
        return [_mutant(name, end, diffs.get(name, "")) for name, end in ends.items()]


def _lay(place: Path, subject: Subject) -> None:
    """The folder that mutmut runs in: the package under its import name, and links to the rest."""
    place.joinpath("quintet").symlink_to(ROOT / "layers/quintet/quintet")
    copies = place / "mutants"
    copies.mkdir()
    for name in BESIDE:
        copies.joinpath(name).symlink_to(ROOT / name)
    chosen = ["-m", "not hypothesis"]
    if subject.without:
        chosen += ["-k", " and ".join(f"not {test}" for test in subject.without)]
    settings = {
        "source_paths": ["quintet"],
        "only_mutate": [f"quintet/{module}" for module in subject.modules],
        "pytest_add_cli_args": [
            *("-o", f"pythonpath={PYTHONPATH}", *chosen),
            *(word for name in PLUGINS for word in ("-p", f"no:{name}")),
        ],
        "pytest_add_cli_args_test_selection": [f"tests/quintet/{test}" for test in subject.tests],
        "use_git_change_detection": False,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = "\n".join([project, "[tool.mutmut]", *lines, ""])
    place.joinpath("pyproject.toml").write_text(text, encoding="utf-8")


def _ran(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "", "HYPOTHESIS_PROFILE": "fixed"}
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )


def _mutant(name: str, end: str, diff: str) -> Mutant:
    module, _, mangled = name.rpartition(".")
    function = mangled.partition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ")
    lines = diff.splitlines()
    return Mutant(
        module, function.replace("ǁ", "."), end, _changed(lines, "-"), _changed(lines, "+")
    )


def _changed(lines: Sequence[str], sign: str) -> str:
    """The removed or added lines of a diff."""
    found = [one[1:].strip() for one in lines if one[:1] == sign and one[:3] != sign * 3]
    return "\n".join(found)
