"""Computes the expected outputs of a package's golden rows anew, from the graph that is there."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from pathlib import Path

from quintet.contract import Contract, from_dict
from quintet.manifest import GRAPH, sha256
from quintet_publish.child import Limits, run_child
from quintet_publish.golden_changes import Anew, OutputChange
from quintet_publish.golden_files import GOLDEN_BYTES
from quintet_publish.load_check import load_check
from quintet_publish.model_yaml import MAX_BYTES
from quintet_publish.package import CONTRACT, read_file
from quintet_publish.problems import GoldenDiffers, PackageError, Problem
from quintet_publish.safety import CAPS
from quintet_publish.tolerance import noise_warning
from quintet_publish.weights import split

__all__ = ["golden_anew", "write_golden_file"]

LIMITS = Limits(memory=4_000_000_000, cpu_seconds=300, seconds=600)
MOST_BYTES = {CONTRACT: MAX_BYTES, GRAPH: CAPS.bytes, **GOLDEN_BYTES}


def golden_anew(folder: Path, limits: Limits = LIMITS) -> Anew:
    """Run the golden rows of a package through its graph, in a child process under limits.

    New outputs have passed the checks that publishing makes of golden rows.

    Raises:
        PackageError: a file is missing or wrong, rows or outputs do not fit the contract, or
            publishing would refuse the new outputs.
    """
    ended = run_child(
        "quintet_publish.golden_anew_child",
        [str(folder), str(limits.memory), str(limits.cpu_seconds)],
        limits,
    )
    found = ended.last
    if "problems" in found:
        raise PackageError([Problem(**problem) for problem in found["problems"]])
    if ended.error or "error" in found:
        raise PackageError.of(GRAPH, found.get("error") or f"running its rows {ended.error}")
    content = found["content"] and base64.b64decode(found["content"])
    changes = tuple(OutputChange(**change) for change in found["changes"])
    names = ("file", "rows", "tolerance", "unread", "sources")
    anew = Anew(changes=changes, content=content, **{name: found[name] for name in names})
    return _checked(folder, anew, content, from_dict(found["contract"])) if content else anew


def write_golden_file(folder: Path, anew: Anew) -> None:
    """Put the new content in place of the file, whole or not at all.

    Raises:
        PackageError: a file of the package has changed meanwhile.
        OSError: it cannot be written.
    """
    for name in anew.sources:
        _unchanged(folder, name, anew)
    path = folder / anew.file
    partial = path.with_name(f".{anew.file}.{os.getpid()}")
    try:
        partial.write_bytes(anew.content or b"")
        partial.chmod(path.stat().st_mode & 0o777)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _checked(folder: Path, anew: Anew, content: bytes, contract: Contract) -> Anew:
    """Check the new outputs as publishing does: the rows alone, together, in a full request."""
    graph = _unchanged(folder, GRAPH, anew)
    try:
        checked = load_check(graph, contract, content, golden_file=anew.file, mapped=split(graph))
    except GoldenDiffers as error:  # from outputs of this graph: "golden" would not help again
        text = "the outputs depend on how many rows are run at once; set a higher tolerance"
        raise PackageError([*error.problems, Problem(anew.file, text)]) from error
    noise = checked.noise
    return replace(anew, warning="" if noise is None else noise_warning(noise, anew.tolerance))


def _unchanged(folder: Path, name: str, anew: Anew) -> bytes:
    content = read_file(folder, name, MOST_BYTES[name])
    if sha256(content) != anew.sources[name]:
        raise PackageError.of(name, "changed while the rows were run; try again")
    return content
