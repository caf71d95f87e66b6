"""A stack of tiny functions, served once for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kits.local_aws import LocalAws, start_local_aws

STACK = Path(__file__).with_name("stack") / "template.yaml"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """tests/local/stack/template.yaml, served."""
    local = start_local_aws(tmp_path_factory.mktemp("stack"), STACK)
    yield local
    local.stop()
