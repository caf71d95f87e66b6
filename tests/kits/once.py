"""The checks of a package, run once for the same files: a child process takes half a second."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from quintet.contract import Contract
from quintet.manifest import digest_of, sha256
from quintet_publish.load_check import Checked, load_check
from quintet_publish.read_check import Findings, read_check

__all__ = ["load_check_once", "read_check_once"]

# what passed, by the digest of all that was checked; what is refused is checked again
_read: dict[str, Findings] = {}
_loaded: dict[str, Checked] = {}


def read_check_once(folder: Path) -> Findings:
    """As `read_check`."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    key = digest_of({str(path.relative_to(folder)): sha256(path.read_bytes()) for path in paths})
    if key not in _read:
        _read[key] = read_check(folder)
    return deepcopy(_read[key])


def load_check_once(graph: bytes, contract: Contract, golden: bytes, **given: Any) -> Checked:
    """As `load_check`."""
    key = sha256(repr((graph, contract, golden, sorted(given.items()))).encode())
    if key not in _loaded:
        _loaded[key] = load_check(graph, contract, golden, **given)
    return deepcopy(_loaded[key])
