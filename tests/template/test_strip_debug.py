"""A layer's library without debugging symbols works, and is smaller."""

from __future__ import annotations

import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "layers/wheels/strip_debug.py"))
USE = "import csimdjson; print(csimdjson.__file__, csimdjson.Parser().parse(b'[1, 2.5]').as_list())"


def test_a_stripped_library_is_smaller_and_works(tmp_path: Path) -> None:
    found = find_spec("csimdjson")
    assert found is not None and found.origin is not None
    library = Path(found.origin)
    small = tmp_path / library.name
    small.write_bytes(SCRIPT["stripped"](library.read_bytes()))
    assert small.stat().st_size < min(1_000_000, library.stat().st_size)
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout == f"{small} [1, 2.5]\n"


def test_a_library_that_was_stripped_stays_as_it_is(tmp_path: Path) -> None:
    found = find_spec("csimdjson")
    assert found is not None and found.origin is not None
    once = SCRIPT["stripped"](Path(found.origin).read_bytes())
    assert SCRIPT["stripped"](once) == once


def test_another_file_is_refused() -> None:
    with pytest.raises(ValueError, match="64-bit little-endian ELF"):
        SCRIPT["stripped"](b"#!/bin/sh\n")
