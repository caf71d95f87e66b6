"""Checks hostile packages as publishing does, and judges each outcome."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.hostile.cases import KINDS, SECRET, Case, write

from quintet_publish.child import Limits
from quintet_publish.load_check import load_check
from quintet_publish.package import read_file
from quintet_publish.problems import MAX_PROBLEMS, MAX_TEXT, PackageError
from quintet_publish.read_check import read_check
from quintet_publish.safety import CAPS
from quintet_publish.weights import split

__all__ = ["LOADING", "READING", "Outcome", "examine", "run"]

#: smaller than publishing's own, so that a campaign ends; seconds on the clock only end a child
#: that waits, as a busy machine is slow
READING = Limits(memory=1_500_000_000, cpu_seconds=20, seconds=300)
LOADING = Limits(memory=1_000_000_000, cpu_seconds=4, seconds=300)
CPU_SECONDS = READING.cpu_seconds + LOADING.cpu_seconds + 10  # and two interpreters that start
INTERPRETER = 400_000_000  # bytes of one with its libraries, which the limits come above
LONGEST = (MAX_TEXT * 2 + 200) * (MAX_PROBLEMS + 2)  # characters of a refusal


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case: `end` is accepted, refused, stopped (by a limit), crashed or error.

    `wrong` says why it is a failure. `cpu` are seconds of its children, `memory` is the largest
    of all children of this process so far, in bytes.
    """

    case: Case
    end: str
    reason: str
    wrong: str
    cpu: float
    memory: int


def run(cases: list[Case], workers: int = 1) -> Iterator[Outcome]:
    """Examine cases in processes that go on whatever a package does."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(examine, cases)


def examine(case: Case) -> Outcome:
    """Write a package, check it as publishing does, and judge."""
    before = _cpu()
    with TemporaryDirectory(prefix="hostile-") as name:
        place = Path(name)
        folder = write(case, place)
        files = _files(place)
        try:
            _check(folder)
            end, reason = "accepted", ""
        except PackageError as error:
            reason = str(error)
            end = _end(reason)
        except Exception as error:  # whatever it is, it is a defect of ours
            end, reason = "error", f"{type(error).__name__}: {error}"
        wrong = _wrong(case, end, reason, place)
        if not wrong and _files(place) != files:
            wrong = "files were changed"
    cpu = _cpu() - before
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    if not wrong and cpu > CPU_SECONDS:
        wrong = f"took {cpu:.0f} s of CPU time"
    if not wrong and memory > max(READING.memory, LOADING.memory) + INTERPRETER:
        wrong = f"a child took {memory / 1e9:.1f} GB"
    return Outcome(case, end, reason[:300], wrong, cpu, memory)


def _check(folder: Path) -> None:
    """Do what `quintet_publish.release.prepare` does, within smaller limits."""
    found = read_check(folder, READING)
    content = read_file(folder, "model.onnx", CAPS.bytes)
    golden = (folder / found.golden_file).read_bytes()
    load_check(
        content,
        found.contract,
        golden,
        LOADING,
        golden_file=found.golden_file,
        sample=found.sample,
        mapped=split(content),
    )


def _end(reason: str) -> str:
    if "ended the process" in reason:
        return "crashed"
    return "stopped" if " took over " in reason else "refused"


def _wrong(case: Case, end: str, reason: str, place: Path) -> str:
    """Say what is wrong with an outcome, or nothing."""
    kind = KINDS[case.kind]
    if end == "error" or "(exit code" in reason:
        return "the publisher would have ended" if end == "error" else "an error ended a child"
    if end == "accepted":
        return "" if kind.reason is None or kind.may_pass else "it was accepted"
    if kind.reason is None:
        return "a valid package was refused"
    if end != "crashed" and not re.search(kind.reason, reason):
        return f"the reason does not say {kind.reason!r}"
    return _leak(reason, place)


def _leak(reason: str, place: Path) -> str:
    """Say what a reason tells that it must not, or nothing."""
    for text in (SECRET, "Traceback", 'File "', str(place)):
        if text in reason:
            return f"the reason holds {text!r}"
    return f"the reason has {len(reason):,} characters" if len(reason) > LONGEST else ""


def _files(place: Path) -> dict[str, tuple[int, int]]:
    """The sizes and times of all files below a folder."""
    found = {}
    for path in place.rglob("*"):
        status = path.lstat()
        found[str(path)] = (status.st_size, status.st_mtime_ns)
    return found


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
