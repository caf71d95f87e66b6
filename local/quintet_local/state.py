"""The state file of a local AWS: where it is, for whoever looks from another process."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["HEALTH", "State"]

HEALTH = "/_quintet/health"


@dataclass(frozen=True)
class State:
    """What `<folder>/local.json` says."""

    pid: int
    endpoint_url: str
    api_url: str
    outputs: dict[str, str]
    template: str
    started: float

    @staticmethod
    def path(folder: Path) -> Path:
        return folder / "local.json"

    @classmethod
    def read(cls, folder: Path) -> State | None:
        """The state in `folder`; None when there is none, or none that can be read."""
        try:
            return cls(**json.loads(cls.path(folder).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Written whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / "local.json.partial"
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n")
        partial.replace(self.path(folder))

    def health(self) -> dict[str, Any] | None:
        """The health page of this very process; None when it is gone.

        A process that was killed leaves its file behind, and its port may be another's by now.
        """
        try:
            with urllib.request.urlopen(self.endpoint_url + HEALTH, timeout=5) as answer:
                page: dict[str, Any] = json.load(answer)
        except (OSError, ValueError):
            return None
        return page if page.get("pid") == self.pid else None
