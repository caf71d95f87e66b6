"""Run by python3.13: which modules below some folders lack a `.pyc` that Lambda takes as it is.

Prints a line for each; PEP 552 has the form of the first 16 bytes.
"""

import importlib.util
import marshal
import sys
from pathlib import Path

UNCHECKED = b"\1\0\0\0"


def fault(source: Path, root: Path) -> str:
    """What is wrong with a module's `.pyc`; empty when nothing is."""
    compiled = Path(importlib.util.cache_from_source(str(source)))
    if not compiled.exists():
        return "is not compiled"
    content = compiled.read_bytes()
    if content[:4] != importlib.util.MAGIC_NUMBER:
        return "is compiled by another Python"
    if content[4:8] != UNCHECKED:
        return "is compiled to be checked against its source"
    if content[8:16] != importlib.util.source_hash(source.read_bytes()):
        return "is compiled from another source"
    where = f"/opt/{source.relative_to(root)}"
    told = marshal.loads(content[16:]).co_filename  # noqa: S302
    return "" if told == where else f"is compiled as {told}, expected {where}"


for folder in map(Path, sys.argv[1:]):
    for module in sorted(folder.rglob("*.py")):
        if found := fault(module, folder):
            print(module, found)
