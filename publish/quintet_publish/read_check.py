"""Reads a package in a child process under limits: this process parses none of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quintet.contract import Contract, from_dict
from quintet.manifest import digest_of
from quintet_publish.child import Limits, run_child
from quintet_publish.problems import PackageError, Problem

__all__ = ["Findings", "read_check"]

LIMITS = Limits(memory=4_000_000_000, cpu_seconds=300, seconds=600)


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of reading a package.

    `sources` are the SHA-256 of its files, `golden` the vectors that every load checks, as the
    manifest holds them, `golden_file` the name of the file with all of them,
    `sample` some rows of the training data, `nodes` the number of the graph's nodes.
    """

    contract: Contract
    sources: dict[str, str]
    golden: dict[str, Any]
    golden_file: str
    golden_rows: int
    baseline: dict[str, Any]
    sample: dict[str, Any] | None
    nodes: int
    warnings: list[str]

    @property
    def digest(self) -> str:
        """Return the digest that identifies the package's content."""
        return digest_of(self.sources)


def read_check(folder: Path, limits: Limits = LIMITS) -> Findings:
    """Read the files of a package and compare them with each other.

    Raises:
        PackageError: a file is missing, unsafe or wrong, or reading it exceeds a limit.
    """
    ended = run_child(
        "quintet_publish.read_check_child",
        [str(folder), str(limits.memory), str(limits.cpu_seconds)],
        limits,
    )
    if "problems" in ended.last:
        raise PackageError([Problem(**problem) for problem in ended.last["problems"]])
    if ended.error or "contract" not in ended.last:
        at = next((line["reading"] for line in reversed(ended.lines) if "reading" in line), None)
        raise PackageError.of(at or str(folder), f"reading it {ended.error}")
    found = ended.last
    return Findings(**{**found, "contract": from_dict(found["contract"])})
