"""The files of a local AWS: its address and its functions' environments, for other processes."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quintet_local.failures import CannotStart

__all__ = ["HEALTH", "PERMISSIONS", "SAM_ENV", "FolderTaken", "State", "claim"]

HEALTH = "/_quintet/health"
#: what the functions' calls used of their roles' policies, and what these do not allow
PERMISSIONS = "/_quintet/permissions"
#: environments by logical id of the function, in the format of `sam local --env-vars`
SAM_ENV = "sam-env.json"
#: bypasses any proxy
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class State:
    """The content of `<folder>/local.json`."""

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
        """Return the state in `folder`; None if it is missing or unreadable."""
        try:
            return cls(**json.loads(cls.path(folder).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path, environments: Mapping[str, Mapping[str, str]]) -> None:
        """Write each file atomically, the state last: a reader of it finds the environments too."""
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in ((folder / SAM_ENV, environments), (self.path(folder), asdict(self))):
            partial = path.with_name(path.name + ".partial")
            partial.write_text(json.dumps(content, indent=2) + "\n")
            partial.replace(path)

    @classmethod
    def remove(cls, folder: Path) -> None:
        """Delete the files if they exist."""
        for path in (cls.path(folder), folder / SAM_ENV):
            path.unlink(missing_ok=True)

    def health(self) -> dict[str, Any] | None:
        """Return the health page of exactly this process; None if the process has ended.

        A killed process leaves its file behind, and another process may use its port by now.
        """
        try:
            with _DIRECTLY.open(self.endpoint_url + HEALTH, timeout=5) as answer:
                page: dict[str, Any] = json.load(answer)
        except (OSError, TypeError, ValueError):  # TypeError: the file is damaged
            return None
        return page if page.get("pid") == self.pid else None


class FolderTaken(CannotStart):
    """The folder belongs to another local AWS, or is unusable."""


def claim(folder: Path) -> int:
    """Lock the folder for this process, as long as the returned descriptor is open.

    The lock of a killed process ends with it.

    Raises:
        FolderTaken: another local AWS runs or starts from this folder, or the folder is unusable.
    """
    import fcntl  # only on Unix, and only the local AWS needs it

    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FolderTaken(
            f"{folder}: {error.strerror}; --state takes another folder",
            command='quintet up --detach --state "$HOME/.quintet"',
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        state = State.read(folder)
        doing, command = (
            (f"runs from {folder} already, at {state.endpoint_url}", "quintet down")
            if state
            else (f"is starting from {folder}: wait for it", "quintet status")
        )
        raise FolderTaken(
            f"a local AWS {doing}; --state takes another folder", command=command
        ) from None
    return descriptor
