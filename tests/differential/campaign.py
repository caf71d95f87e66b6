"""Cases from a seed through every form, each answered by the same graph."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from tests.differential.cases import Answer, Case, as_bytes, contract_of, expected, graph, rows_of
from tests.differential.forms import CANNOT, FORMS, Reader

from quintet.columns import Batch
from quintet.contract import Feature
from quintet.errors import BadInput
from quintet.features import MemoryFeatures
from quintet.onnx_model import OnnxModel
from quintet.serving import ModelRoute
from quintet.serving.predict import predict

__all__ = ["Campaign", "Difference", "run"]

#: bodies for each contract, whose session is made once
BODIES = 12


@dataclass(frozen=True)
class Difference:
    """A form that did not answer what the rows say."""

    seed: int
    contract: int
    form: str
    case: Case
    found: str

    def __str__(self) -> str:
        features = ", ".join(map(_brief, self.case.contract.features))
        return (
            f"seed {self.seed}, contract {self.contract}, {self.form}\n  features: {features}\n"
            f"  rows: {self.case.rows}\n  expected: {self.case.answers}\n  found: {self.found}"
        )


def _brief(feature: Feature) -> str:
    told = {
        name: getattr(feature, name)
        for name in ("shape", "range", "categories", "default", "missing")
    }
    rules = [f"{name}={value}" for name, value in told.items() if value not in (None, ())]
    return " ".join([feature.name, feature.dtype, *rules])


@dataclass
class Campaign:
    """What was compared."""

    bodies: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    cannot: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


def run(cases: int, seed: int) -> Campaign:
    """Read at least so many bodies. The same seed reads the same ones."""
    found = Campaign()
    for number in range(cases):
        if sum(found.bodies.values()) >= cases:
            break
        _contract(found, seed, number)
    return found


def _contract(found: Campaign, seed: int, number: int) -> None:
    draw = random.Random(f"{seed}/{number}")
    contract = contract_of(draw)
    model = OnnxModel(contract, graph(contract))
    for _ in range(BODIES):
        rows = rows_of(draw, contract)
        case = Case(contract, rows, [expected(contract, row) for row in rows])
        for form, read in _carried(found, case):
            found.bodies[form] += 1
            found.rows["refused" if frozenset in map(type, case.answers) else "answered"] += 1
            if told := differs(model, case, read):
                found.differences.append(Difference(seed, number, form, case, told))


def _carried(found: Campaign, case: Case) -> Iterator[tuple[str, Reader]]:
    for form, (read, keys) in FORMS.items():
        reasons = [why for key in keys for why, is_so in CANNOT[key] if is_so(case)]
        found.cannot.update(f"{form}: {why}" for why in reasons)
        if not reasons:
            yield form, read


def differs(model: OnnxModel, case: Case, read: Reader) -> str:
    """What a form answered instead; empty if it is what was expected.

    A form may refuse the whole body, if one of its rows is to be refused, for what that row has.
    """
    try:
        batch = read(case.contract, case)
    except BadInput as error:
        fields = {
            name for answer in case.answers if isinstance(answer, frozenset) for name in answer
        }
        told = {refusal.field.split("[")[0].split(".")[-1] for refusal in error.refusals}
        return "" if told and told <= fields else f"{error}"
    answers = answered(model, batch)
    alike = len(answers) == len(case.answers) and all(map(_alike, answers, case.answers))
    return "" if alike else str(answers)


def _alike(found: Answer, wanted: Answer) -> bool:
    """A row is refused for one or more of the features that are wrong."""
    if isinstance(found, frozenset) and isinstance(wanted, frozenset):
        return bool(found) and found <= wanted
    return found == wanted


def answered(model: OnnxModel, batch: Batch) -> list[Answer]:
    """What the pipeline answers to each row."""
    (found,) = predict(ModelRoute(model), batch, MemoryFeatures(), 0.0)
    contract, scores = model.contract, found.scores
    answers: list[Answer] = [
        frozenset(_field(one.field) for one in scores.refusals if one.row == row)
        for row in range(batch.rows)
    ]
    for place, row in enumerate(np.asarray(scores.index).tolist()):
        answers[row] = tuple(
            as_bytes(np.asarray(scores.outputs[one.name][place]).ravel().tolist(), one.dtype)
            for one in contract.outputs
        )
    return answers


def _field(name: str) -> str:
    return name.split("[", maxsplit=1)[0]
