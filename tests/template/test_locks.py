"""Each package of each lock is pinned, with the hashes of its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.kits.aws import ROOT

LOCKS = sorted((*(ROOT / "requirements").glob("*.txt"), *(ROOT / "layers/wheels").glob("*.txt")))


def unpinned(text: str) -> list[str]:
    """The first lines of requirements that have no version or no hash."""
    joined = text.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    pinned = re.compile(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}")
    return [line.split("--hash")[0].strip() for line in lines if not pinned.match(line)]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_package_has_a_version_and_hashes(lock: Path) -> None:
    assert unpinned(lock.read_text()) == []


def test_what_is_not_pinned_is_named() -> None:
    hashed = "a==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    assert unpinned(hashed + "b>=2\nc==3.0\n") == ["b>=2", "c==3.0"]
