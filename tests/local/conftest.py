"""What the tests of this folder share: tiny functions, checks of packages, a page's own stage."""

from __future__ import annotations

import subprocess
import sys
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


@pytest.fixture
def api_url(tmp_path: Path) -> Iterator[str]:
    """The API of an empty local AWS, of the folder in which a page is followed."""
    parameters = {"StreamWindowSeconds": "5"}  # pages wait for windows to close
    local = start_local_aws(tmp_path / ".quintet", parameters=parameters)
    yield local.api_url
    if local.process.poll() is None:
        local.stop()
    else:  # the page has stopped it, and may have started another
        quintet = str(Path(sys.executable).with_name("quintet"))
        command = [quintet, "down", "--state", str(local.state)]
        subprocess.run(command, check=True, capture_output=True)
