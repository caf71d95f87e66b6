"""The Lambda plane's model of a function, its aliases and its asynchronous calls."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["LATEST", "Alias", "AsyncConfig", "Function"]

LATEST = "$LATEST"


@dataclass(frozen=True)
class Alias:
    """A name for a version; `weights` routes shares of the calls to other versions."""

    name: str
    version: str
    weights: Mapping[str, float] = field(default_factory=dict)
    provisioned: int = 0

    def choose(self, point: float) -> str:
        """Return the version for a uniform `point` in [0, 1)."""
        for version, share in self.weights.items():
            if point < share:
                return version
            point -= share
        return self.version


@dataclass(frozen=True)
class AsyncConfig:
    """How calls of type Event are retried, and where their failures and successes go (ARNs)."""

    retries: int = 2
    max_age: float = 21_600
    on_failure: str | None = None
    on_success: str | None = None
    dead_letters: str | None = None


@dataclass(frozen=True)
class Function:
    """A Lambda function as the template configures it."""

    logical_id: str
    name: str
    arn: str
    handler: str
    code: Path
    layers: tuple[Path, ...] = ()
    timeout: float = 3
    memory_mb: int = 128
    environment: Mapping[str, str] = field(default_factory=dict)
    log_group: str = ""
    reserved: int | None = None
    versions: tuple[str, ...] = (LATEST,)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    asynchronous: AsyncConfig = AsyncConfig()

    def version(self, qualifier: str | None) -> str | None:
        """Return the version that a call with `qualifier` runs; None if it is unknown."""
        if qualifier is None:
            return LATEST
        if alias := self.aliases.get(qualifier):
            return alias.choose(random.random()) if alias.weights else alias.version
        return qualifier if qualifier in self.versions else None

    def provisioned(self, version: str) -> int:
        """Return how many environments of a version to keep started."""
        return sum(a.provisioned for a in self.aliases.values() if a.version == version)
