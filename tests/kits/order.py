"""How `make test` gives tests to its workers, and in which order."""

from __future__ import annotations

__all__ = ["APART", "FIRST", "unit_of"]

#: long files whose tests share nothing: each test goes to the worker that is free
APART = (
    "tests/local/test_first_model_page.py",
    "tests/local/test_cookbook_rollouts.py",
    "tests/local/test_cookbook_operations.py",
    "tests/publish/test_example_models.py",
    "tests/local/test_stream_pages.py",
    "tests/local/test_batch_pages.py",
    "tests/local/test_rollout_pages.py",
    "tests/local/test_pages.py",
    "tests/local/test_cookbook.py",
    "tests/local/test_lifecycle.py",
    "tests/local/test_keeping.py",
    "tests/local/test_failures.py",
)
#: what to begin with: one test that waits for a minute, then the folders of long files, those that
#: wait for other processes before those that compute
FIRST = (
    "tests/local/test_async_faults.py",
    *APART,
    *("tests/local/", "tests/clients/", "tests/simulation/", "tests/publish/"),
)


def unit_of(nodeid: str) -> str:
    """What goes to one worker together with a test: its file's tests, or it alone."""
    file = nodeid.partition("::")[0]
    return nodeid if file in APART else file
