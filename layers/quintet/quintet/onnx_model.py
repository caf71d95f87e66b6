"""A loaded ONNX graph: the only module that imports onnxruntime."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import math
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# before the import: the Linux wheels send telemetry by default since 1.29
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime

from quintet.columns import Array, numpy_dtype
from quintet.contract import Contract, DType, Input, Output
from quintet.errors import ModelFailure

__all__ = ["OnnxModel", "available_threads", "session_options"]

onnxruntime.disable_telemetry_events()

#: the run, counted from the end of a load, that packs the weights of a mapped model
PACKED_AT = 5
FATAL_ONLY = 4  # errors are raised; logged errors could contain values of a request
MB_PER_VCPU = 1769  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html


def available_threads(environ: Mapping[str, str]) -> int:
    """How many threads a run can use: in Lambda, the vCPUs that come with its memory."""
    memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    return math.ceil(int(memory) / MB_PER_VCPU) if memory else os.cpu_count() or 1


#: runs a graph: the values of the named outputs for the feeds
Run = Callable[[Sequence[str], dict[str, Array]], list[Array]]

#: onnxruntime's names of tensor types, where they are not those of the contract's dtypes
_NAMES = {"float32": "float", "float64": "double"}
_DTYPES = {f"tensor({_NAMES.get(dtype, dtype)})": dtype for dtype in typing.get_args(DType)}


class OnnxModel:
    """An onnxruntime session of a graph, and its contract. Safe to share between threads.

    The graph is passed as bytes, so that it cannot load external files, except for `weights`: the
    file of its large initialisers, which is mapped. Without `packed` its weights are used as they
    are in the file, so that a session takes a millisecond and its runs take longer.
    """

    def __init__(
        self,
        contract: Contract,
        graph: bytes,
        *,
        digest: str = "",
        threads: int = 1,
        options: onnxruntime.SessionOptions | None = None,
        weights: Path | None = None,
        packed: bool = True,
    ) -> None:
        self.contract = contract
        self.digest = digest
        self.size = len(graph)
        options = session_options(threads) if options is None else options
        if weights is not None:
            self.size += weights.stat().st_size
            options.add_session_config_entry(_FOLDER, str(weights.parent))
        if not packed:
            options.add_session_config_entry("session.disable_prepacking", "1")
            # changing the layout of convolutions copies their weights: 0.6 s of 90 MB
            options.graph_optimization_level = _EXTENDED
        try:
            self._session = onnxruntime.InferenceSession(
                graph,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # it would print to stdout, and try the same provider again
                disabled_optimizers=[] if packed else _COPYING,
            )
        except Exception as error:  # onnxruntime's errors have no base class of their own
            raise ModelFailure(
                f"model {contract.name} version {contract.version} does not load "
                f"({type(error).__name__})"
            ) from error
        #: what `check_after_a_run` was given, from the first run on until it has passed
        self.due: Callable[[], None] | None = None
        #: see `quintet.scoring.Model.run`; mostly the session's own method, to save a call
        self.run: Run = _rows_first(self._session, contract)

    def check_after_a_run(self, check: Callable[[], None]) -> None:
        """Let `check` be due as soon as this model has run once; whoever holds the model calls it.

        It raises a ModelFailure where the model must not run again.
        """
        first = self.run

        def run(outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
            self.run, self.due = first, check
            return first(outputs, feeds)

        self.run = run

    def replace_later(self, make: Callable[[], OnnxModel]) -> None:
        """Let the `PACKED_AT`th run from now replace the session by that of `make`.

        A run does it, since an environment is frozen between its calls. Where `make` raises a
        ModelFailure, the session stays as it is.
        """
        first, runs = self.run, itertools.count(1)

        def run(outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
            if next(runs) != PACKED_AT:  # one thread alone sees it
                return first(outputs, feeds)
            self.run = first
            with contextlib.suppress(ModelFailure):
                replacement = make()
                self._session, self.run = replacement._session, replacement.run
            return self.run(outputs, feeds)

        self.run = run


#: fold what follows a convolution into a copy of its weights
_COPYING = ["ConvAddFusion", "ConvBNFusion", "ConvMulFusion"]
_EXTENDED = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
#: onnxruntime's setting for a graph that is passed as bytes
_FOLDER = "session.model_external_initializers_file_folder_path"


def _widened(session: onnxruntime.InferenceSession) -> Run:
    """The session's run; outputs of bfloat16, which numpy does not have, become float32."""
    narrow = {output.name for output in session.get_outputs() if output.type == _BFLOAT16}
    if not narrow:
        found: Run = session.run
        return found

    def run(outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        held = {name: _value(np.asarray(array, order="C")) for name, array in feeds.items()}
        values = session.run_with_ort_values(outputs, held)
        return [
            _float32(value) if name in narrow else value.numpy()
            for name, value in zip(outputs, values, strict=True)
        ]

    return run


_BFLOAT16 = "tensor(bfloat16)"
_value = onnxruntime.OrtValue.ortvalue_from_numpy


def _float32(value: onnxruntime.OrtValue) -> Array:
    """A tensor of bfloat16, the upper half of a float32's bits, from onnxruntime's memory."""
    held = (ctypes.c_char * value.tensor_size_in_bytes()).from_address(value.data_ptr())
    wide = np.frombuffer(held, np.uint16).astype(np.uint32) << 16  # a copy
    return wide.view(np.float32).reshape(value.shape())


def _rows_first(session: onnxruntime.InferenceSession, contract: Contract) -> Run:
    """The session's run for tensors with the rows first, and without the contract's constants.

    A model that takes one row at a time gets and gives a first dimension of 1.
    """
    constants = _constants(session, contract)
    one = contract.rows == "one"
    tensors: list[Input | Output] = [*contract.inputs, *contract.outputs]
    axes = {tensor.name: tensor.batch_axis for tensor in tensors}
    run_all = _widened(session)
    if not (constants or one or any(axes.values())):
        return run_all
    sizes = {tensor.name: len(tensor.row_shape) for tensor in tensors}
    # of what takes one row at a time, some tensors have no dimension for it
    bare = {i.name for i in session.get_inputs() if one and len(i.shape) == sizes.get(i.name)}

    def fed(name: str, tensor: Array) -> Array:
        tensor = tensor[0] if name in bare else np.moveaxis(tensor, 0, axes[name])
        # a scalar of its own, since a row of no dimensions is a number of Python's
        return np.ascontiguousarray(tensor).reshape(np.shape(tensor))

    def given(name: str, array: Array) -> Array:
        if one and array.ndim == sizes[name]:
            return array[np.newaxis]
        return np.moveaxis(array, axes[name], 0)

    def run(outputs: Sequence[str], feeds: dict[str, Array]) -> list[Array]:
        moved = {name: fed(name, tensor) for name, tensor in feeds.items()}
        arrays = run_all(outputs, {**moved, **constants})
        return [given(name, array) for name, array in zip(outputs, arrays, strict=True)]

    return run


def _constants(session: onnxruntime.InferenceSession, contract: Contract) -> dict[str, Array]:
    """The contract's constants as the graph's inputs take them."""
    found = {}
    for graph_input in session.get_inputs() if contract.constants else ():
        if graph_input.name in contract.constants:
            dtype = _DTYPES[graph_input.type]
            values = np.array(contract.constants[graph_input.name], numpy_dtype(dtype))
            fixed = all(type(size) is int for size in graph_input.shape)
            found[graph_input.name] = values.reshape(graph_input.shape) if fixed else values
    return found


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """The options of every session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # threads that wait for work would spin: of 1,000 rows of trees that took twice the processor
    # time of the run, which what reads and writes beside it needs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL_ONLY
    # onnxruntime would keep a memory pattern for every batch size ever seen
    options.enable_mem_pattern = False
    # an arena keeps the memory of the largest batch (43 MB for 500 texts) for every model, so
    # `ModelCache` could not respect its limit; runs are as fast without
    options.enable_cpu_mem_arena = False
    return options
