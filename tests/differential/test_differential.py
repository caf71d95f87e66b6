"""A short campaign over all forms; `python -m tests.differential` is the long one."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.differential.campaign import differs, run
from tests.differential.cases import Case, contract_of, expected, graph, rows_of
from tests.differential.forms import CANNOT, FORMS

from quintet.onnx_model import OnnxModel


def test_every_form_answers_alike() -> None:
    found = run(3_000, seed=7)
    assert [str(one) for one in found.differences] == []
    assert set(found.bodies) == set(FORMS)
    assert min(found.bodies.values()) > 20
    assert min(found.rows.values()) > 500
    reasons = {why for reasons in CANNOT.values() for why, _ in reasons}
    assert {key.split(": ", 1)[1] for key in found.cannot} == reasons


def test_a_wrong_answer_is_a_difference() -> None:
    draw = random.Random(3)
    contract = contract_of(draw)
    rows = rows_of(draw, contract)
    case = Case(contract, rows, [expected(contract, row) for row in rows])
    model, (read, _) = OnnxModel(contract, graph(contract)), FORMS["records"]
    assert differs(model, case, read) == ""
    answers = [(b"other",) if isinstance(one, tuple) else (b"",) for one in case.answers]
    assert differs(model, replace(case, answers=answers), read) != ""
