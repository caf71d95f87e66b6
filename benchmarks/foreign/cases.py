"""A case as `exports` left it, the contract for it, and onnxruntime's own answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from benchmarks.foreign.exports.case import Hints
from benchmarks.foreign.values import alike, feature_name, plain, widened
from numpy.typing import NDArray

__all__ = ["Attempt", "Case", "Rows", "cases", "read_case"]

#: a tensor of a row, without the axis of the rows, by name
Rows = list[dict[str, NDArray[Any]]]
#: an input of at most so many numbers becomes single features, which records name
NAMED = 32


@dataclass(frozen=True)
class Case:
    """One graph, its rows, and what to do if it is refused."""

    name: str
    exporter: str
    kind: str
    rows: Rows
    first: Attempt
    says: str
    mend: str
    mended: Attempt | None


def cases(folder: Path, names: Sequence[str] = ()) -> list[Case]:
    """The cases of these names in a folder, or all."""
    found = sorted(path for path in folder.iterdir() if not names or path.name in names)
    return [read_case(path) for path in found]


def read_case(folder: Path) -> Case:
    """Read the files of a case."""
    told = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    rows: Rows = []
    with np.load(folder / "rows.npz") as arrays:
        for key in arrays.files:
            number, _, name = key.partition("/")
            while len(rows) <= int(number):
                rows.append({})
            value = arrays[key]
            rows[int(number)][name] = value.astype(object) if value.dtype.kind == "U" else value
    graph, mended = (folder / "model.onnx").read_bytes(), None
    if told["mended"] is not None:
        path = folder / "mended.onnx"
        again = path.read_bytes() if path.exists() else graph
        mended = Attempt(folder.name, again, Hints(**told["mended"]), rows)
    first = Attempt(folder.name, graph, Hints(**told["hints"]), rows, mended=mended)
    kind, says, mend = told["kind"], told["says"], told["mend"]
    return Case(folder.name, told["exporter"], kind, rows, first, says, mend, mended)


@dataclass(frozen=True)
class Attempt:
    """A graph with hints: its contract and its answers by onnxruntime."""

    name: str
    graph: bytes
    hints: Hints
    rows: Rows
    tolerance: float = 1e-6
    mended: Attempt | None = None

    def with_fields(self, **fields: Any) -> Attempt:
        """The same with other fields of the contract."""
        hints = replace(self.hints, fields={**self.hints.fields, **fields})
        return replace(self, hints=hints)

    def axis(self, tensor: str) -> int | None:
        """The position of the rows; None if the tensor has none."""
        return self.hints.axes.get(tensor, 0)

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The graph, parsed."""
        return onnx.load_model_from_string(self.graph)

    @cached_property
    def inputs(self) -> list[Any]:
        """The declared inputs that rows feed."""
        return [info for info in self.model.graph.input if info.name in self.rows[0]]

    @cached_property
    def outputs(self) -> list[Any]:
        """The declared outputs that are served."""
        wanted = self.hints.outputs
        return [o for o in self.model.graph.output if wanted is None or o.name in wanted]

    @cached_property
    def alone(self) -> Rows:
        """onnxruntime's outputs of every row alone, without the axis of the rows."""
        try:
            return [self._run([row])[0] for row in self.rows]
        except Exception:  # onnxruntime does not load it; publishing is to say why
            if self.mended is not None:
                return self.mended.alone
            nothing = {output.name: np.zeros(1, np.float32) for output in self.outputs}
            return [nothing] * len(self.rows)

    @cached_property
    def together(self) -> Rows:
        """onnxruntime's outputs of all rows of one shape together."""
        if self.hints.fields.get("rows") == "one":
            return self.alone
        found: Rows = [{}] * len(self.rows)
        for places in self.groups():
            for place, row in zip(places, self._run([self.rows[i] for i in places]), strict=True):
                found[place] = row
        return found

    def groups(self) -> list[list[int]]:
        """The positions of the rows of each shape."""
        return alike(self.rows)

    def answered(self) -> list[list[int]]:
        """The positions of the rows of each shape whose outputs have one shape, too."""
        return alike([{**row, **out} for row, out in zip(self.rows, self.alone, strict=True)])

    @cached_property
    def _session(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        graph = widened(self.graph)
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def _run(self, rows: Rows) -> Rows:
        feeds = {}
        for name in rows[0]:
            axis = self.axis(name)
            stacked = [row[name] for row in rows]
            feeds[name] = stacked[0] if axis is None else np.stack(stacked, axis)
        kinds = {info.name: info.type for info in self._session.get_inputs()}
        for name, value in self.hints.fields.get("constants", {}).items():
            kind = np.int64 if "int64" in kinds[name] else np.float32
            feeds[name] = np.array(value, kind)
        names = [output.name for output in self.outputs]
        found = dict(zip(names, self._session.run(names, feeds), strict=True))
        return [
            {name: self._row(name, value, place) for name, value in found.items()}
            for place in range(len(rows))
        ]

    def _row(self, name: str, value: Any, place: int) -> NDArray[Any]:
        if isinstance(value, list):  # a ZipMap's maps
            return np.array([*value[place].values()], np.float32)
        axis = self.axis(name)
        row = value if axis is None else np.take(value, place, axis)
        return np.array(row, value.dtype)  # of a text, numpy gives the text itself

    # ---- the contract --------------------------------------------------------------------------

    def contract(self) -> dict[str, Any]:
        """The content of model.yaml."""
        features, inputs = [], []
        for info in self.inputs:
            found, tensor = self._input(info)
            features += found
            inputs.append(tensor)
        return {
            "name": self.name,
            "version": 1,
            "task": "foreign",
            "features": features,
            "inputs": inputs,
            "outputs": [self._output(info) for info in self.outputs],
            **self.hints.fields,
        }

    def golden(self) -> dict[str, Any]:
        """The content of golden.json: every row, as onnxruntime answers it alone."""
        columns: dict[str, list[Any]] = {}
        for record in self.records():
            for name, value in record.items():
                columns.setdefault(name, []).append(value)
        outputs = {
            info.name: [plain(row[info.name]) for row in self.alone] for info in self.outputs
        }
        return {"columns": columns, "outputs": outputs, "tolerance": self.tolerance}

    def records(self) -> list[dict[str, Any]]:
        """The rows as records of features."""
        return [dict(self._named(row)) for row in self.rows]

    def _named(self, row: dict[str, NDArray[Any]]) -> Iterator[tuple[str, Any]]:
        for name, value in row.items():
            if self.single(name):
                yield from zip(self.columns(name), plain(value), strict=True)
            else:
                yield feature_name(name), plain(value)

    def columns(self, name: str) -> list[str]:
        """The single features that feed an input."""
        size = self.rows[0][name].size
        base = feature_name(name)
        return [base] if size == 1 else [f"{base}_{i}" for i in range(size)]

    def single(self, name: str) -> bool:
        """Whether single features feed an input, and not one of its shape."""
        value = self.rows[0][name]
        return value.ndim == 1 and value.size <= NAMED and not self.hints.most.get(name)

    def _input(self, info: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        name, value = info.name, self.rows[0][info.name]
        dtype = "string" if value.dtype.kind == "O" else str(value.dtype)
        shape, most = self._shape(info, value)
        tensor: dict[str, Any] = {
            "name": name,
            "dtype": dtype,
            "shape": self._with_rows(info, shape),
        }
        missing = {"missing": "nan"} if self.hints.missing else {}
        if self.axis(name):
            tensor["batch_axis"] = self.axis(name)
        if self.single(name):
            tensor["features"] = self.columns(name)
            single = [{"name": c, "dtype": dtype, **missing} for c in self.columns(name)]
            return single, tensor
        own = feature_name(name)
        feature: dict[str, Any] = {"name": own, "dtype": dtype, "shape": shape, **missing}
        if most:
            feature["max"] = most if len(most) > 1 else most[0]
        tensor["features"] = [own]
        return [feature], tensor

    def _output(self, info: Any) -> dict[str, Any]:
        kind = onnx.TensorProto.DataType.Name(info.type.tensor_type.elem_type)
        value = self.alone[0][info.name]
        dtype = "string" if kind == "STRING" else str(value.dtype)
        shape, most = self._shape(info, value)
        output: dict[str, Any] = {
            "name": info.name,
            "dtype": dtype,
            "shape": self._with_rows(info, shape),
            "meaning": "value",
        }
        if self.axis(info.name):
            output["batch_axis"] = self.axis(info.name)
        if most:
            output["max"] = most if len(most) > 1 else most[0]
        return output

    def _shape(self, info: Any, value: NDArray[Any]) -> tuple[list[int], list[int]]:
        """The shape of a row with -1 for free axes, and their bounds."""
        most = self.hints.most.get(info.name, [])
        if not most:
            return [*value.shape], []
        dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
        axis = self.axis(info.name)
        if axis is not None and dims:
            del dims[axis]
        if len(dims) == value.ndim:
            free = [place for place, size in enumerate(dims) if size <= 0][-len(most) :]
        else:  # the declared rank is wrong
            shapes = {row[info.name].shape for row in self.alone}
            free = [place for place in range(value.ndim) if len({s[place] for s in shapes}) > 1]
        return [-1 if i in free else n for i, n in enumerate(value.shape)], most

    def _with_rows(self, info: Any, shape: list[int]) -> list[int]:
        axis = self.axis(info.name)
        return [*shape[: axis or 0], -1, *shape[axis or 0 :]]
