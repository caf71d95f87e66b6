"""Which gates a model's outputs can feed."""

from __future__ import annotations

import pytest

from quintet.contract import Contract, DType, Gates, Meaning, Output, RolloutRule
from quintet.rollouts.measures import rule_of

LABEL = Output(name="label", dtype="int64", shape=(-1,), meaning="label")
EMBEDDING = Output(name="vector", dtype="float32", shape=(-1, 64), meaning="embedding")
BOXES = Output(name="boxes", dtype="float32", shape=(-1, -1, 4), max=100, meaning="value")


def output(meaning: Meaning, *, dtype: DType = "float32", columns: int = 2) -> Output:
    return Output(name="y", dtype=dtype, shape=(-1, columns), meaning=meaning)


@pytest.mark.parametrize(
    ("outputs", "off"),
    [
        ((LABEL, output("probabilities")), set()),
        ((output("probabilities"),), set()),
        ((output("score", columns=1),), {"labels"}),
        ((output("value", columns=1), EMBEDDING), {"labels"}),
        ((LABEL,), {"score"}),
        ((EMBEDDING,), {"score", "labels"}),
        ((BOXES,), {"score", "labels"}),
        ((output("value", dtype="string"),), {"score", "labels"}),
    ],
)
def test_gates_on_what_no_output_has_are_off(outputs: tuple[Output, ...], off: set[str]) -> None:
    rule = RolloutRule(steps=(0.5, 1.0), gates=Gates(latency="dry_run"))
    contract = Contract(
        name="m", version=1, task="t", features=(), inputs=(), outputs=outputs, rollout=rule
    )
    modes = {**rule.gates.modes, **dict.fromkeys(off, "off")}
    found = rule_of(contract)
    assert (found.steps, found.gates.modes) == ((0.5, 1.0), modes)
