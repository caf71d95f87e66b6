"""The files of a local AWS: where it is and what its functions are given, for other processes."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["HEALTH", "SAM_ENV", "FolderTaken", "State", "claim"]

HEALTH = "/_quintet/health"
#: environments by logical id of the function, as `sam local --env-vars` reads them
SAM_ENV = "sam-env.json"
#: past any proxy
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


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

    def write(self, folder: Path, environments: Mapping[str, Mapping[str, str]]) -> None:
        """Each whole or not at all; the state last: who sees it finds the environments too."""
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in ((folder / SAM_ENV, environments), (self.path(folder), asdict(self))):
            partial = path.with_name(path.name + ".partial")
            partial.write_text(json.dumps(content, indent=2) + "\n")
            partial.replace(path)

    @classmethod
    def remove(cls, folder: Path) -> None:
        """Take the files away, as far as they are there."""
        for path in (cls.path(folder), folder / SAM_ENV):
            path.unlink(missing_ok=True)

    def health(self) -> dict[str, Any] | None:
        """The health page of this very process; None when it is gone.

        A process that was killed leaves its file behind, and its port may be another's by now.
        """
        try:
            with _DIRECTLY.open(self.endpoint_url + HEALTH, timeout=5) as answer:
                page: dict[str, Any] = json.load(answer)
        except (OSError, TypeError, ValueError):  # TypeError: of a damaged file
            return None
        return page if page.get("pid") == self.pid else None


class FolderTaken(Exception):
    """The folder is another local AWS's, or cannot be used; the text says what to do."""


def claim(folder: Path) -> int:
    """Lock the folder for this process, as long as the descriptor that is returned is open.

    The lock of a process that was killed ends with it.

    Raises:
        FolderTaken: another local AWS runs or starts from this folder, or it cannot be used.
    """
    import fcntl  # only Unix has it, and only the local AWS needs it

    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FolderTaken(f"{folder}: {error.strerror}; --state takes another folder") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        state = State.read(folder)
        doing = (
            f"runs from {folder} already, at {state.endpoint_url}: `quintet down` stops it"
            if state
            else f"is starting from {folder}: wait for it"
        )
        raise FolderTaken(f"a local AWS {doing}; --state takes another folder") from None
    return descriptor
