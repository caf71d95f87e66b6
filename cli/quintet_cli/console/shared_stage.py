"""A stage that many threads read at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from quintet.aws.client import ATTEMPTS, AwsClient
from quintet_cli.stage import Stage, StageError

__all__ = ["SharedStage"]


class _Outputs(dict[str, str]):
    """Outputs of a stack; one that it does not have names the way to it."""

    def __missing__(self, name: str) -> str:
        raise StageError(
            f"the stack has no output {name}: it is older than this command; deploy it again",
            command="make deploy",
        )


@dataclass(frozen=True)
class SharedStage(Stage):
    """A stage whose clients are made once: boto3's sessions are not safe for threads."""

    #: what was read and changes no more
    kept: dict[Any, Any] = field(default_factory=dict, compare=False)
    _lock: Any = field(default_factory=threading.RLock, compare=False)
    _clients: dict[Any, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, stage: Stage) -> SharedStage:
        """The same stage, to be shared."""
        return cls(stage.name, stage.api_url, _Outputs(stage.outputs), stage.endpoint_url)

    def client(self, service: str) -> Any:
        """See `Stage.client`."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = super().client(service)
            return self._clients[service]

    def signed(self, service: str, *, attempts: int = ATTEMPTS) -> AwsClient:
        """See `Stage.signed`."""
        with self._lock:
            key = (service, attempts)
            if key not in self._clients:
                self._clients[key] = super().signed(service, attempts=attempts)
            client: AwsClient = self._clients[key]
            return client
