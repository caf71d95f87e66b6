"""A loaded ONNX graph: the only module that imports onnxruntime."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence

# before the import: the Linux wheels send telemetry by default since 1.29
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from quintet.columns import Array
from quintet.contract import Contract
from quintet.errors import ModelFailure

__all__ = ["OnnxModel", "available_threads"]

onnxruntime.disable_telemetry_events()

FATAL_ONLY = 4  # errors are raised; logged errors could contain values of a request
MB_PER_VCPU = 1769  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html


def available_threads(environ: Mapping[str, str]) -> int:
    """How many threads a run can use: in Lambda, the vCPUs that come with its memory."""
    memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    return math.ceil(int(memory) / MB_PER_VCPU) if memory else os.cpu_count() or 1


class OnnxModel:
    """An onnxruntime session of a graph, and its contract. Safe to share between threads.

    The graph is passed as bytes, so that it cannot load external files.
    """

    def __init__(
        self, contract: Contract, graph: bytes, *, digest: str = "", threads: int = 1
    ) -> None:
        self.contract = contract
        self.digest = digest
        self.size = len(graph)
        try:
            self._session = onnxruntime.InferenceSession(
                graph, session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise ModelFailure(
                f"model {contract.name} version {contract.version} does not load "
                f"({type(error).__name__})"
            ) from error
        #: see `quintet.scoring.Model.run`; the session's own method, to save a call
        self.run: Callable[[Sequence[str], dict[str, Array]], list[Array]] = self._session.run


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """The options of every session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL_ONLY
    # onnxruntime would keep a memory pattern for every batch size ever seen
    options.enable_mem_pattern = False
    # an arena keeps the memory of the largest batch (43 MB for 500 texts) for every model, so
    # `ModelCache` could not respect its limit; runs are as fast without
    options.enable_cpu_mem_arena = False
    return options
