"""What every test may use: the local AWS, started once for the session that asks for it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import settings
from tests.kits.local_aws import FREE_PORTS, LocalAws, start_local_aws
from tests.kits.order import FIRST, unit_of

__all__ = ["LocalAws", "local_aws"]

# as in the template's Globals; the models of the tests are small, threads only cost them
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# a landing does not fail by luck: property tests draw the same examples each time. `make fuzz`
# draws others, and prints how to draw a failing one again
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.register_profile("random", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


# a command makes a session of its own, which reads AWS's models: a process's second reading of
# the same files took a third of the processor time of the tests that run commands
_read_model = cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda self, file_path: _read_model(file_path)  # type: ignore[method-assign]


# collecting took a sixth of the tests' processor time: by default every 700 new objects, and from
# time to time over all that importing and collecting tests have left
gc.set_threshold(20_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with long tests: at the end short ones keep all workers busy until the last."""
    items.sort(key=lambda item: [not item.nodeid.startswith(begins) for begins in FIRST])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`, but the tests of `APART` one by one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = unit_of
    return scheduling


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of garbage collections."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name packed parameters as such: gzip writes the time, and workers must agree on the names."""
    return "gzip" if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The whole of template.yaml, served on free ports for the session; a page may call its API."""
    state, options = tmp_path_factory.mktemp("local-aws"), (*FREE_PORTS, "--strict")
    parameters = {
        "CorsOrigins": "https://shop.example",
        "SealedCaptures": "on",
        "StreamWindowSeconds": "5",  # tests wait for windows to close
    }
    local = start_local_aws(state, parameters=parameters, options=options)
    yield local
    local.stop()
