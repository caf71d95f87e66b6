"""Writes a proposed package into a new folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from quintet.contract import Contract
from quintet.serving.golden import Golden
from quintet_publish.golden_files import JSON, NPZ, array_of, text_of
from quintet_publish.init.draft import Draft
from quintet_publish.init.guess import Guess
from quintet_publish.init.table import copy_sample
from quintet_publish.new_folder import check_new, new_folder
from quintet_publish.problems import PackageError
from quintet_publish.release import prepare

__all__ = ["REQUEST", "record_of", "write_golden", "write_package"]

REQUEST = "request.json"
#: golden rows of more values are arrays in golden.npz
JSON_VALUES = 20_000
#: how often limits.rows is lowered to a quarter where a full request takes too much
ATTEMPTS = 5
LIMIT = "limits.rows"
LISTS = ("features", "inputs", "outputs")


def write_package(draft: Draft, folder: Path) -> None:
    """Write the package and check it as publishing does; a limit that is too high is lowered.

    Raises:
        Conflict: the folder has something in it.
        PackageError: publishing would refuse it; the folder is kept, to mend it.
        ModelFailure: the graph failed.
        OSError: it cannot be written; nothing is left of it.
    """
    check_new(folder, "--out")
    golden, guess = draft.golden()
    draft.guesses.append(guess)
    with new_folder(folder, "--out", kept=(PackageError,)):
        _write_all(draft, golden, folder)


def _write_all(draft: Draft, golden: Golden, folder: Path) -> None:
    contract = draft.validated()
    (folder / "model.onnx").write_bytes(draft.model.SerializeToString(deterministic=True))
    write_golden(folder, contract, golden)
    if draft.training is not None:
        copy_sample(draft.training, folder / draft.contract["training_data"])
    record = json.dumps({"records": [record_of(contract, golden)]}, ensure_ascii=False)
    _write(folder / REQUEST, f"{record}\n")
    _write(folder / "README.md", _readme(draft))
    _write(folder / "train.py", _TRAIN)
    for attempt in range(ATTEMPTS):
        _write(folder / "model.yaml", "\n".join(_model_yaml(draft)) + "\n")
        try:
            prepare(folder, lambda *_: None)
        except PackageError as error:
            rows = draft.contract.get("limits", {}).get("rows", 1000)
            limited = all(problem.field == LIMIT for problem in error.problems)
            if not limited or rows == 1 or attempt == ATTEMPTS - 1:
                raise
            _lower(draft, max(1, rows // 4), str(error))
        else:
            return


def _lower(draft: Draft, rows: int, reason: str) -> None:
    draft.contract.setdefault("limits", {})["rows"] = rows
    path = ("limits", "rows")
    draft.guesses = [guess for guess in draft.guesses if guess.path != path]
    draft.guesses.append(Guess.of(path, rows, reason))


def record_of(contract: Contract, golden: Golden) -> dict[str, Any]:
    """The first golden row as a record of a request."""
    return {
        feature.key: golden.columns[feature.name][0]
        for feature in contract.requested
        if golden.columns[feature.name][0] is not None
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def write_golden(folder: Path, contract: Contract, golden: Golden) -> None:
    """Write golden.json, or golden.npz for many values of fixed shapes."""
    values = sum(np.size(v) for columns in (golden.columns, golden.outputs) for v in _all(columns))
    names = {feature.name for feature in contract.features}
    clash = names & {output.name for output in contract.outputs} | ({"tolerance"} & names)
    free = any(f.free for f in contract.features) or any(o.free for o in contract.outputs)
    if values <= JSON_VALUES or clash or free:
        _write(folder / JSON, text_of(golden.to_dict()))
        return
    arrays: dict[str, Any] = {"tolerance": golden.tolerance}
    for feature in contract.features:
        arrays[feature.name] = array_of(golden.columns[feature.name], feature.dtype)
    for output in contract.outputs:
        arrays[output.name] = array_of(golden.outputs[output.name], output.dtype)
    np.savez_compressed(folder / NPZ, **arrays)


def _all(columns: dict[str, list[Any]]) -> Iterator[Any]:
    for values in columns.values():
        yield from values


# ---- texts ---------------------------------------------------------------------------------------


def _model_yaml(draft: Draft) -> Iterator[str]:
    """The contract, one line for each field and item, with the reasons as comments."""
    yield "# Written by `quintet init`. Every field: docs/bring-your-model.md"
    for key, value in draft.contract.items():
        yield from _reasons(draft, (key,), "")
        if key not in LISTS:
            yield f"{key}: {_flow(value)}"
            continue
        yield f"{key}:"
        for item in value:
            yield from _reasons(draft, (key, item["name"]), "  ")
            yield f"  - {_flow(item)}"


def _reasons(draft: Draft, path: tuple[str, ...], indent: str) -> Iterator[str]:
    for guess in draft.guesses:
        own = guess.path == path if len(path) == 1 and path[0] in LISTS else None
        if own is None:
            own = guess.path[: len(path)] == path
        if own and guess.path[-1] != "dtype":
            reason = " ".join(str(guess.reason).split())
            yield f"{indent}# {guess.path[-1]}: {reason}"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(
        value, default_flow_style=True, width=float("inf"), sort_keys=False, allow_unicode=True
    )
    return text.removesuffix("\n...\n").rstrip("\n")


def _readme(draft: Draft) -> str:
    contract = draft.contract
    given = ", ".join(feature["name"] for feature in contract["features"][:20])
    found = ", ".join(f"{o['name']} ({o['meaning']})" for o in contract["outputs"])
    lacks = "".join(f"- {text}\n" for text in draft.missing)
    todo = f"\n## What is missing\n{lacks}" if lacks else ""
    return (
        f"# {contract['name']}\n"
        "What it predicts, for whom, and from which data: write it here.\n\n"
        f"- Takes: {given}\n- Gives: {found}\n\n"
        "```bash\n"
        f"quintet check .\nquintet publish .\n```\n\n"
        f"`{REQUEST}` is a request of one row. `model.yaml` gives the reason for each of its\n"
        f"fields; change what is wrong, then raise `version`.\n{todo}"
    )


_TRAIN = '''\
"""How this model was trained: fill this in, so that the next version can be made.

A new version: train, export model.onnx, compute golden rows from it (`quintet golden` does so for
the rows that are there), raise `version` in model.yaml, then `quintet publish`.
"""

from pathlib import Path

import onnx

from quintet_publish import kit

FOLDER = Path(__file__).parent


def train() -> onnx.ModelProto:
    """Read the data, fit the model, export it."""
    raise NotImplementedError("train the model and export it to ONNX here")


def main() -> None:
    """Write model.onnx and golden.json."""
    contract = kit.contract_of(FOLDER)
    model = kit.clean(train(), contract)
    golden = {}  # some twenty rows: an array for each feature, by its name
    kit.write(FOLDER, contract, model, golden=golden)


if __name__ == "__main__":
    main()
'''
