"""The engine's executor of functions: processes of this machine in place of containers."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from quintet_localstack.engine import module
from quintet_localstack.process import HOST, Call, Process

__all__ = ["HostExecutor"]

_invocation = "services.lambda_.invocation"
_config = module("config")
_models = module(f"{_invocation}.lambda_models")
_Executor: Any = module(f"{_invocation}.runtime_executor").RuntimeExecutor

INIT_SECONDS = 60.0
#: names the folder of what Lambda's own runtime brings: awslambdaric and boto3
RUNTIME = "QUINTET_LAMBDA_RUNTIME"


class HostExecutor(_Executor):  # type: ignore[misc]
    """One execution environment; its process is started anew when it has ended."""

    def __init__(self, id: str, function_version: Any) -> None:
        super().__init__(id=id, function_version=function_version)
        self._config = function_version.config
        self._code: Path = self._config.code.get_unzipped_code_location()
        self._scratch = Path(tempfile.mkdtemp(prefix="environment-", dir=_config.dirs.tmp))
        self._log = self._scratch / "log"
        self._read = 0
        self._variables: dict[str, str] = {}
        self._process: Process | None = None

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the process and wait until it asks for its first call.

        Raises:
            StatusErrorException: it ended, or told why it cannot start.
        """
        self._variables = {name: str(value) for name, value in env_vars.items()} | self._places()
        self._ready()

    def _places(self) -> dict[str, str]:
        layers = [layer.code.get_unzipped_code_location() for layer in self._config.layers]
        # /opt holds the layers one over the other: the last one wins
        packages = [str(layer / "python") for layer in reversed(layers)]
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._scratch),
            "TMPDIR": str(self._scratch),
            "PYTHONPATH": os.pathsep.join([str(self._code), *packages, os.environ[RUNTIME]]),
            "LAMBDA_TASK_ROOT": str(self._code),
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        }

    def _ready(self) -> Process:
        if self._process is None or self._process.over:
            started = Process(self._config.handler, self._code, self._variables, self._log)
            self._process = started
            failure = started.wait_ready(INIT_SECONDS)
            if failure is not None:
                refused = module(f"{_invocation}.executor_endpoint").StatusErrorException
                raise refused("the process did not start", payload=failure.payload)
        return self._process

    def invoke(self, payload: dict[str, str], function_timeout: int | None = None) -> Any:
        """Hand a call to the process and wait for its answer; localemu tells the time-out, too."""
        call = Call(
            payload["invoke-id"],
            payload["invoked-function-arn"],
            payload["trace-id"],
            payload["payload"].encode(),
            self._config.timeout,
        )
        answer = self._ready().run(call)
        return _models.InvocationResult(
            call.request_id, answer.payload, answer.error, self._new_logs()
        )

    def _new_logs(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._read)
            new = log.read()
            self._read = log.tell()
        return new.decode("utf-8", "replace")

    def stop(self) -> None:
        """End the process and remove its scratch folder."""
        if self._process is not None:
            self._process.kill()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def get_logs(self) -> str:
        """All that the process has written."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def get_address(self) -> str:
        """Where the process is."""
        return HOST

    def get_endpoint_from_executor(self) -> str:
        """Where LocalStack is, as the process sees it."""
        return HOST

    def get_runtime_endpoint(self) -> str:
        """The engine's own bridge, which nobody asks: each process has its own Runtime API."""
        return f"http://{HOST}:{_config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unpack the function and its layers."""
        function_version.config.code.prepare_for_execution()
        for layer in function_version.config.layers:
            layer.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """Leave what is unpacked: other versions use the layers too."""
