"""The modules of the engine that runs: LocalStack, or localemu, a fork with the same modules."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["module"]

_NAME = "localstack" if find_spec("localstack") else "localemu"


def module(name: str) -> Any:
    """A module of the engine, by its name there."""
    return import_module(f"{_NAME}.{name}")
