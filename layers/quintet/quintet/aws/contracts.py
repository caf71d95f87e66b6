"""Load only the contracts of published versions, for functions that validate but do not score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quintet.aws.artifacts import Artifacts
from quintet.columns import Array
from quintet.contract import Contract, from_dict
from quintet.errors import ModelFailure

__all__ = ["Contracts", "Described"]


@dataclass(frozen=True, slots=True)
class Described:
    """A version without its graph; see `quintet.serving.model_cache.Model`."""

    contract: Contract
    digest: str
    due: None = None

    def run(self, outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        """Fail: a version without its graph cannot run."""
        raise ModelFailure("this function does not run models")


class Contracts:
    """Loads contracts; see `quintet.serving.model_cache.Loader`."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def load(self, model: str, version: int, seal: str | None = None) -> Described:
        """See `quintet.serving.model_cache.Loader.load`."""
        manifest = self._artifacts.manifest(model, version, seal)
        return Described(from_dict(manifest.contract), manifest.digest)
