"""What the tests of this folder share: a stack of tiny functions, and the checks of packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kits.local_aws import LocalAws, start_local_aws
from tests.kits.once import load_check_once, read_check_once

from quintet_publish import release

STACK = Path(__file__).with_name("stack") / "template.yaml"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """tests/local/stack/template.yaml, served."""
    local = start_local_aws(tmp_path_factory.mktemp("stack"), STACK)
    yield local
    local.stop()


@pytest.fixture(scope="module", autouse=True)
def checked_once() -> Iterator[None]:
    """Most of these tests publish an example model: a process checks the same files once.

    tests/publish checks them every time, and so does each `quintet publish` in a shell.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "read_check", read_check_once)
        patch.setattr(release, "load_check", load_check_once)
        yield
