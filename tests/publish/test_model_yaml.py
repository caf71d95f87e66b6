"""model.yaml: what it says is the contract; what is wrong has its line, field and expectation."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.kits.packages import MODEL_YAML

from quintet.contract import (
    Aggregate,
    Contract,
    Feature,
    Input,
    Limits,
    Output,
    Stream,
    from_dict,
    to_dict,
)
from quintet_publish.model_yaml import contract_schema, read_contract
from quintet_publish.problems import PackageError

ROOT = Path(__file__).parents[2]


def problems(text: str) -> list[str]:
    """The problems of a model.yaml, without the file's name."""
    with pytest.raises(PackageError) as caught:
        read_contract(text.encode())
    return [str(problem).removeprefix("model.yaml, ") for problem in caught.value.problems]


def small(**changes: str) -> str:
    """The small package's model.yaml with lines changed: old text -> new text."""
    text = MODEL_YAML.format(name="small", version=1)
    for line in changes.values():
        old, new = line.split(" => ")
        assert old in text
        text = text.replace(old, new)
    return text


def test_reads_a_contract() -> None:
    assert read_contract(small().encode()) == Contract(
        name="small",
        version=1,
        task="regression",
        features=(
            Feature(name="a", dtype="float32", range=(0, 100)),
            Feature(name="b", dtype="float32", default=1.0),
        ),
        inputs=(Input(name="x", dtype="float32", shape=(-1, 2), features=("a", "b")),),
        outputs=(Output(name="y", dtype="float32", shape=(-1, 1), meaning="score"),),
        limits=Limits(),
    )


def test_a_contract_survives_json() -> None:
    contract = read_contract(small().encode())
    assert from_dict(json.loads(json.dumps(to_dict(contract)))) == contract


@pytest.mark.parametrize("path", sorted(ROOT.glob("models/*/model.yaml")), ids=str)
def test_the_examples_are_valid(path: Path) -> None:
    assert read_contract(path.read_bytes()).name == path.parent.name


def test_all_problems_come_in_one_message() -> None:
    text = small(
        a="dtype: float32, range => dtype: floaty, range",
        b="version: 1 => version: 1.5",
        c="task: regression => colour: red",
    )
    with pytest.raises(PackageError) as caught:
        read_contract(text.encode())
    assert str(caught.value) == (
        "4 problems:\n"
        "  model.yaml, line 1: task: is required\n"
        "  model.yaml, line 2: version: expected integer, got 1.5\n"
        "  model.yaml, line 3: colour: is not a field of the contract\n"
        "  model.yaml, line 5: features[0].dtype: expected 'bool', 'int8', 'int16', 'int32', "
        "'int64', 'uint8', 'uint16', 'uint32', 'uint64', 'float16', 'float32', 'float64' or "
        "'string', got 'floaty'"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["model.yaml: expected a mapping, as docs/first-package.md shows"]),
        ("- 1", ["model.yaml: expected a mapping, as docs/first-package.md shows"]),
        ("a: [", ["line 2: not YAML: did not find expected node content"]),
        ("a: &x 1\nb: *x", ["line 2: not YAML: aliases are not read"]),
        ("a: " + "[" * 5000, ["model.yaml: not YAML: nested too deep"]),
        ("a: 1\nb: 2\na: 3", ["line 1: a: is listed twice, at lines 1 and 3"]),
        ("a: .inf", ["line 1: a: expected a finite number, got .inf"]),
        (
            "a: !!python/object/apply:os.system [ls]",
            [
                "line 1: a: expected plain YAML, got the tag "
                "tag:yaml.org,2002:python/object/apply:os.system"
            ],
        ),
        ("!!python/name:os.system '': 1", ["line 1: expected plain words as keys"]),
        ("[1, 2]: 3", ["line 1: expected plain words as keys"]),
        ("description: 2026-13-45", []),
        ("2026-11-13: 3", ["line 1: 2026-11-13: is not a field of the contract"]),
        ("a: !!int abc", ["line 1: a: expected int, got 'abc'"]),
        ("a: !!bool maybe", ["line 1: a: expected bool, got 'maybe'"]),
        ("a: !!seq abc", ["line 1: a: is not a field of the contract"]),
        ("a: 1.0e+400", ["line 1: a: expected a finite number, got 1.0e+400"]),
        (
            "a: 0x1_0000_0000_0000_0000",
            ["line 1: a: expected a number of at most 64 bits, got 0x1_0000_0000_0000_0000"],
        ),
        ("a: " + "9" * 5000, [f"line 1: a: expected int, got '{'9' * 60}'"]),
        ("a: [" + "1, " * 70_000 + "]", ["model.yaml: expected at most 60,000 keys and values"]),
        ("x" * 1_000_001, ["model.yaml: expected at most 1,000,000 bytes, got 1,000,001"]),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text: str, found: list[str]) -> None:
    # a mapping also lacks what a contract needs
    assert [p for p in problems(text) if not p.endswith(": is required")] == found


def test_problems_are_cut_at_twenty_before_they_are_looked_for_further() -> None:
    start = time.process_time()
    found = problems("a: 1\n" * 25_000)
    assert len(found) == 21
    problems("\n".join(f"k{number}: 1" for number in range(29_000)))
    assert time.process_time() - start < 20


def test_what_is_not_utf8_is_refused() -> None:
    with pytest.raises(PackageError, match=r"^model\.yaml: expected UTF-8; byte 6 is not$"):
        read_contract(b"name: \xff")


def test_a_byte_order_mark_is_read_over() -> None:
    assert read_contract(b"\xef\xbb\xbf" + small().encode()).name == "small"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "name: small => name: Small",
            "line 1: name: expected a lower-case letter, then at most 62 lower-case letters, "
            "digits, _ or -",
        ),
        (
            "version: 1 => version: 0",
            "line 2: version: expected a number from 1 to 99999999, got 0",
        ),
        ("version: 1 => version: true", "line 2: version: expected integer, got True"),
        ("name: b => name: a", "line 6: features[1].name: a is listed twice"),
        (
            "[0, 100] => [100, 0]",
            "line 5: features[0].range: expected the lowest value first, got 100 and 0",
        ),
        (
            "[0, 100] => [null, null]",
            "line 5: features[0].range: expected a lowest or a highest value, or both",
        ),
        (
            "range: [0, 100] => range: [0, 100], default: 101",
            "line 5: features[0].default: expected a value in the feature's range, got 101",
        ),
        ("default: 1.0 => default: x", "line 6: features[1].default: expected float32, got 'x'"),
        (
            "default: 1.0 => categories: [1, 2], default: 3",
            "line 6: features[1].default: expected one of the feature's categories, got 3",
        ),
        (
            "default: 1.0 => categories: [1, 1]",
            "line 6: features[1].categories[1]: 1 is listed twice",
        ),
        (
            "default: 1.0 => categories: []",
            "line 6: features[1].categories: expected at least one",
        ),
        (
            "default: 1.0 => categories: [x]",
            "line 6: features[1].categories[0]: expected float32, got 'x'",
        ),
        (
            "default: 1.0 => column: a",
            "line 6: features[1].column: is the column of a too",
        ),
        (
            "default: 1.0 => column: ' b'",
            "line 6: features[1].column: expected a name of 1 to 128 printable characters, "
            "not ending in blanks",
        ),
        (
            "name: a, dtype => name: a, column: x, dtype",
            "line 8: inputs[0].name: is also the name of a feature that does not feed it alone: "
            "a tensor x would be one or the other; rename the feature",
        ),
        (
            "default: 1.0 => default: 1.0, missing: nan",
            "line 6: features[1].missing: expected either a default or missing: nan, got both",
        ),
        (
            "dtype: float32, default: 1.0 => dtype: int64, missing: nan",
            "line 6: features[1].missing: nan is for floats; b is int64",
        ),
        (
            "default: 1.0 => missing: zero",
            "line 6: features[1].missing: expected 'nan', got 'zero'",
        ),
        (
            "default: 1.0 => max_age: 5",
            "line 6: features[1].max_age: is for features of a store or window; "
            "this comes with the request",
        ),
        (
            "shape: [-1, 2] => shape: [2, 2]",
            "line 8: inputs[0].shape: expected -1, the rows, first, got [2, 2]",
        ),
        (
            "shape: [-1, 2] => shape: [-1, 3]",
            "line 8: inputs[0].shape: expected [-1, 2] for 2 features",
        ),
        *(
            (f"b, dtype: float32 => b, dtype: float32, shape: {shape}", f"line 6: {found}")
            for shape, found in (
                ("[-1]", "features[1].max: is required for a size of -1, such as `max: 512`"),
                (
                    "[-1, 2, -1], max: 9",
                    "features[1].max: expected 2 numbers of at least 1, as [-1, 2, -1] has 2 of "
                    "-1, got 9",
                ),
                (
                    "[2], max: 9",
                    "features[1].max: expected none, as [2] has 0 of -1, got 9",
                ),
                ("[2], pad: 0", "features[1].pad: is for a shape with a size of -1, got [2]"),
                ("[-1], max: 9, pad: x", "features[1].pad: expected float32, got 'x'"),
                ("[-1], max: 9", "features[1].default: is for a fixed shape, got [-1]"),
                ("[-1], max: 99999999", "features[1].shape: expected at most 16777216 elements"),
                ("[-2]", "features[1].shape: expected sizes of at least 1 for a row, or -1, got"),
            )
        ),
        (
            "meaning: score => meaning: score, max: 3",
            "line 10: outputs[0].max: expected none",
        ),
        (
            "shape: [-1, 1], meaning: score => shape: [-1, -1], max: 5, meaning: probabilities",
            "line 10: outputs[0].meaning: expected value or another for the shape [-1, -1]",
        ),
        (
            "shape: [-1, 2] => shape: [-1, 2], batch_axis: 1",
            "line 8: inputs[0].shape: expected -1, the rows, at position 1, got [-1, 2]",
        ),
        (
            "shape: [-1, 1] => shape: [-1, 1], batch_axis: 2",
            "line 10: outputs[0].batch_axis: expected the position of a dimension of [-1, 1], "
            "got 2",
        ),
        (
            "features: [a, b] => features: [a, b, b]",
            "line 8: inputs[0].features[2]: b is listed twice",
        ),
        (
            "features: [a, b] => features: [a, c]",
            "line 8: inputs[0].features[1]: expected a feature of the contract, got 'c'",
        ),
        (
            "b, dtype: float32 => b, dtype: float64",
            "line 8: inputs[0].features[1]: expected float32, as the input is; b is float64",
        ),
        (
            "b, dtype: float32 => b, shape: [2], dtype: float32",
            "line 8: inputs[0].features[1]: expected a single value, b is a vector; "
            "a vector feeds an input alone",
        ),
        (
            ", features: [a, b] => ",
            "line 8: inputs[0].features: is required, since no feature is called x",
        ),
        (
            "meaning: score => meaning: label",
            "line 10: outputs[0].dtype: expected an integer, a string or a bool for a label",
        ),
        (
            "meaning: score => meaning: probabilities, classes: [a, b]",
            "line 10: outputs[0].classes: expected as many as the columns of [-1, 1]",
        ),
        (
            "shape: [-1, 1] => shape: [-1, 99999999]",
            "line 10: outputs[0].shape: expected at most 16777216 elements a row",
        ),
        (
            "name: y => name: 'y '",
            "line 10: outputs[0].name: expected a name of 1 to 128 printable characters, "
            "not ending in blanks",
        ),
        (
            "name: x => name: a",
            "line 8: inputs[0].name: is also the name of a feature that does not feed it alone: "
            "a tensor a would be one or the other; rename the feature",
        ),
        (
            "features: [a, b] => features: [c]",
            "line 8: inputs[0].features[0]: expected a feature of the contract, got 'c'",
        ),
        (
            "features: [a, b] => features: [a]",
            "line 8: inputs[0].shape: expected [-1] or [-1, 1], as the feature a is",
        ),
    ],
)
def test_a_contradiction_is_found(change: str, found: str) -> None:
    assert any(problem.startswith(found) for problem in problems(small(change=change)))


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        (
            "limits: {rows: 0}",
            "line 11: limits.rows: expected a number from 1 to 1000000, got 0",
        ),
        (
            "limits: {bytes: 4700001}",
            "line 11: limits.bytes: expected a number from 1 to 4700000, got 4700001",
        ),
        (
            "constants: {x: 1}",
            "line 11: constants.x: is also in `inputs`; a constant feeds its input alone",
        ),
        ("constants: {sr: []}", "line 11: constants.sr: expected from 1 to 1000 values, got 0"),
        ("capture: {rate: 2}", "line 11: capture.rate: expected a share from 0 to 1, got 2"),
        (
            "drift: {false_alarms: 0}",
            "line 11: drift.false_alarms: expected more than 0, and at most 0.5, got 0",
        ),
        (
            "rollout: {steps: [0.1, 0.1]}",
            "line 11: rollout.steps: expected ascending shares from 0.000001 to 1, got [0.1, 0.1]",
        ),
        ("rollout: {steps: []}", "line 11: rollout.steps: expected from 1 to 20 shares, got 0"),
        (
            "rollout: {minutes: 10, max_minutes: 5}",
            "line 11: rollout.max_minutes: expected more than `minutes`, 10, and at most 20160, "
            "got 5",
        ),
        (
            "rollout: {watch_minutes: -1}",
            "line 11: rollout.watch_minutes: expected minutes from 0 to 20160, got -1",
        ),
        (
            "rollout: {margins: {failures: 1}}",
            "line 11: rollout.margins.failures: expected a share from 0 to less than 1, got 1",
        ),
        (
            "rollout: {margins: {score: -0.1}}",
            "line 11: rollout.margins.score: expected from 0 to 10, got -0.1",
        ),
        (
            "rollout: {margins: {latency: 0.9}}",
            "line 11: rollout.margins.latency: expected a ratio from 1 to 100, got 0.9",
        ),
        (
            "rollout: {gates: {speed: on}}",
            "line 11: rollout.gates.speed: is not a field of the contract",
        ),
        ("drift: {floor: 1}", "line 11: drift.floor: expected from 0 to less than 1, got 1"),
        ("capture: {days: 0}", "line 11: capture.days: expected a number from 1 to 400, got 0"),
        ("slo: {p95_ms: 0}", "line 11: slo.p95_ms: expected more than 0, got 0"),
        (
            "slo: {availability: 99.9}",
            "line 11: slo.availability: expected a share between 0 and 1, got 99.9",
        ),
        ("cache_ttl: -1", "line 11: cache_ttl: expected seconds from 0 to 86400, got -1"),
        (
            "alert: {output: z, above: 1}",
            "line 11: alert.output: expected an output, one of y, got 'z'",
        ),
        ("alert: {output: y}", "line 11: alert: expected above or below"),
        (
            "candidates: {ids: y, scores: y, items: 5}",
            "line 11: candidates: needs `entity`, whose value names the user of a row",
        ),
        (
            "entity: user\ncandidates: {ids: z, scores: y, items: 5}",
            "line 12: candidates.ids: expected an output, one of y, got 'z'",
        ),
        (
            "entity: user\ncandidates: {ids: y, scores: y, items: 5}",
            "line 12: candidates.ids: expected an output of ints with the shape [-1, k], k up to "
            "1000; y is float32 [-1, 1]",
        ),
        (
            "entity: user\ncandidates: {ids: y, scores: y, items: 0}",
            "line 12: candidates.items: expected a number from 1 to 1000000, got 0",
        ),
        (
            "entity: user\ncandidates: {ids: y, scores: y, items: 5, nights: 31}",
            "line 12: candidates.nights: expected a number from 1 to 30, got 31",
        ),
        (
            "entity: user\ncandidates: {ids: y, scores: y, items: 5, segment: land}",
            "line 12: candidates.segment: expected a feature of the request, one of a, b, got "
            "'land'",
        ),
        (
            "entity: user\ncandidates: {ids: y, scores: y, items: 5, segment: a}",
            "line 12: candidates.segment: expected a feature that is one text or integer a row; a "
            "is float32 []",
        ),
        (
            "alert: {output: y, above: 1, cooldown: -1}",
            "line 11: alert.cooldown: expected seconds from 0 to 604800, got -1",
        ),
        (
            "fallback: {otherwise: {}}",
            "line 11: fallback.otherwise: expected a value for every output, y has none",
        ),
        (
            "fallback: {otherwise: {y: 1.0}}",
            "line 11: fallback.otherwise.y: expected a value of shape [1]",
        ),
        (
            "fallback: {otherwise: {y: [x]}}",
            "line 11: fallback.otherwise.y[0]: expected number, got 'x'",
        ),
        (
            "fallback: {otherwise: {y: [1]}, rules: [{feature: z, outputs: {}}]}",
            "line 11: fallback.rules[0].feature: expected a single-valued feature of the "
            "request, got 'z'",
        ),
        (
            "fallback: {otherwise: {y: [1]}, rules: [{feature: a, outputs: {y: [2]}}]}",
            "line 11: fallback.rules[0]: expected above, below or equals",
        ),
        (
            "fallback: {otherwise: {y: [1]}, rules: [{feature: a, equals: q, outputs: {}}]}",
            "line 11: fallback.rules[0].equals: expected float32, got 'q'",
        ),
    ],
)
def test_a_contradiction_further_down_is_found(extra: str, found: str) -> None:
    assert found in problems(small() + extra + "\n")


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("", "max_age: is required, in seconds, unless `when_stale` is serve"),
        ("max_age: 0", "max_age: expected more than 0 seconds, got 0"),
        ("max_age: 5, when_stale: default", "default: is required, since `when_stale` is default"),
        (
            "max_age: 5, when_stale: fallback",
            "when_stale: is fallback, and the contract has no `fallback`",
        ),
        (
            "max_age: 5, empty: missing",
            "empty: missing is for features that come with the request; this is stored",
        ),
        ("max_age: 5, shape: [2]", "shape: stored features are single values"),
    ],
)
def test_stored_features_have_rules_of_their_own(fields: str, found: str) -> None:
    stored = f"default: 1.0 => source: store{', ' if fields else ''}{fields}"
    assert f"line 6: features[1].{found}" in problems(small(a=stored) + "entity: e\n")


def test_stored_features_need_an_entity_key() -> None:
    text = small(a="default: 1.0 => source: window, max_age: 5")
    assert problems(text) == [
        "line 6: features[1].source: needs the contract's `entity`: the key that joins "
        "stored features"
    ]


def test_the_entity_key_is_no_stored_feature() -> None:
    text = small(a="default: 1.0 => source: window, max_age: 5") + "entity: b\n"
    assert problems(text) == [
        "line 11: entity: is also the name of a stored feature, which it cannot be"
    ]


STREAM = """\
entity: e
stream:
  time: at
  window: 60
  allowed_lateness: 5
  aggregates:
    - {name: orders, how: count}
    - {name: pounds, how: sum, of: paid}
    - {name: last_shop, how: last, of: shop}
"""


def streamed(change: str, **more: str) -> str:
    """The small package's contract with a stream of which one text is another."""
    old, new = change.split(" => ")
    assert old in STREAM
    return small(**more) + STREAM.replace(old, new)


def test_reads_a_stream() -> None:
    stream = read_contract((small() + STREAM).encode()).stream
    assert stream == Stream(
        time="at",
        window=60.0,
        allowed_lateness=5.0,
        aggregates=(
            Aggregate(name="orders", how="count"),
            Aggregate(name="pounds", how="sum", of="paid"),
            Aggregate(name="last_shop", how="last", of="shop"),
        ),
    )


def test_reads_an_id_that_is_not_a_feature() -> None:
    assert read_contract((small() + "id: order\n").encode()).id == "order"
    for name, why in (
        ("a", "expected a field that is not a feature, got 'a'"),
        ("'a b'", "expected a letter or _, then at most 62 letters, digits, _ . or -"),
        (
            "e\nentity: e",
            "is also the name of the entity key, of which many rows have the same one",
        ),
    ):
        assert problems(small() + f"id: {name}\n") == [f"line 11: id: {why}"]
    assert problems(small() + STREAM + "id: at\n")[-1].endswith(
        "id: is also the time of the stream's rows, which it cannot be"
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            "entity: e => description: none",
            "line 12: stream: needs the contract's `entity`: windows are gathered by it",
        ),
        ("window: 60 => window: 0.5", "stream.window: expected seconds from 1 to 86400, got 0.5"),
        (
            "window: 60 => window: 90000",
            "stream.window: expected seconds from 1 to 86400, got 90000",
        ),
        ("  window: 60\n => ", "stream.time: needs `window`, the length of a window in seconds"),
        (
            "  time: at\n => ",
            "stream.window: needs `time`, the field of a record's own time; windows by arrival "
            "are as long as the template says",
        ),
        (
            "  time: at\n  window: 60\n => ",
            "stream.allowed_lateness: needs `time` and `window`: nothing arrives too late",
        ),
        (
            "lateness: 5 => lateness: -1",
            "stream.allowed_lateness: expected seconds from 0 to 604800, got -1",
        ),
        (
            "time: at => time: a",
            "stream.time: expected one of int32, int64, uint32, uint64, float64, string, a is "
            "float32",
        ),
        (
            "time: at => time: e",
            "stream.time: is also the name of the entity key, which it cannot be",
        ),
        ("name: pounds => name: orders", "stream.aggregates[1].name: orders is listed twice"),
        (
            "name: pounds => name: expires",
            "stream.aggregates[1].name: expected a name other than entity and expires",
        ),
        (
            "name: pounds => name: e",
            "stream.aggregates[1].name: is also the name of the entity key, which it cannot be",
        ),
        (
            "name: pounds => name: b",
            "stream.aggregates[1].name: is also the name of a feature of the request; a feature "
            "that reads it has the source window",
        ),
        (
            "name: pounds => name: 1st",
            "stream.aggregates[1].name: expected a letter or _, then at most 62 letters, digits, "
            "_ . or -",
        ),
        (
            "how: count => how: count, of: a",
            "stream.aggregates[0].of: is not for count, which counts rows; got 'a'",
        ),
        (
            ", of: paid => ",
            "stream.aggregates[1]: expected `of`, the field whose sum it is",
        ),
        ("of: paid => of: e", "stream.aggregates[1].of: sum is for numbers; e is the entity key"),
        (
            "of: paid => of: p d",
            "stream.aggregates[1].of: expected a letter or _, then at most 62 letters, digits, "
            "_ . or -",
        ),
    ],
)
def test_a_stream_has_rules_of_its_own(change: str, found: str) -> None:
    assert [p for p in problems(streamed(change)) if p.endswith(found)] != []


def test_a_stream_aggregates_something() -> None:
    text = small() + "entity: e\nstream: {aggregates: []}\n"
    assert problems(text) == ["line 12: stream.aggregates: expected from 1 to 50, got 0"]


@pytest.mark.parametrize(
    ("feature", "change", "found"),
    [
        ("dtype: string", "of: paid => of: b", "of: sum is for numbers; b is a string"),
        (
            "dtype: float32, column: paid",
            "shop => shop",
            "of: is the column of the feature b; expected the feature's name",
        ),
        (
            "dtype: float32, column: e",
            "shop => shop",
            "column: the column e is the entity key",
        ),
        (
            "dtype: float32, missing: nan",
            "of: paid => of: b",
            "of: expected a feature that is never missing; b has missing: nan",
        ),
        (
            "dtype: float32, shape: [3]",
            "of: paid => of: b",
            "of: expected a field of the record or a single-valued feature of the request, got 'b'",
        ),
        (
            "dtype: float32, source: window, max_age: 60",
            "of: paid => of: b",
            "of: expected a field of the record or a single-valued feature of the request, got 'b'",
        ),
        (
            "dtype: float32, source: store, max_age: 60",
            "name: pounds => name: b",
            "name: is also the name of a feature of the store; a feature that reads it has the "
            "source window",
        ),
        (
            "dtype: string, source: window, max_age: 60",
            "name: pounds => name: b",
            "how: gives a number, and the feature b is a string",
        ),
        (
            "dtype: int64, source: window, max_age: 60",
            "name: pounds, how: sum => name: b, how: mean",
            "how: gives a float, and the feature b is int64",
        ),
        (
            "dtype: string, source: window, max_age: 60",
            "last_shop, how: last, of: shop => b, how: last, of: a",
            "how: gives float32, and the feature b is string",
        ),
    ],
)
def test_aggregates_and_features_fit(feature: str, change: str, found: str) -> None:
    text = streamed(change, b=f"dtype: float32, default: 1.0 => {feature}")
    assert [p for p in problems(text) if f"].{found}" in p] != []


def test_an_event_time_is_named_as_the_feature_and_not_as_its_column() -> None:
    text = streamed("shop => shop", b="dtype: float32, default: 1.0 => dtype: float64, column: at")
    (problem,) = (p for p in problems(text) if "stream.time" in p)
    assert problem.endswith("is the column of the feature b; expected the feature's name")


def test_a_feature_reads_the_aggregate_of_its_name() -> None:
    window = "default: 1.0 => source: window, default: 0, when_stale: default, max_age: 60"
    contract = read_contract(streamed("name: orders => name: b", b=window).encode())
    assert contract.stored == (contract.by_name["b"],)


def test_a_feature_that_feeds_nothing_is_found() -> None:
    text = small(a="features: [a, b] => features: [a]", b="shape: [-1, 2] => shape: [-1, 1]")
    assert problems(text) == ["line 6: features[1].name: b feeds no input"]


def test_a_segment_need_not_feed_an_input_but_must_not_be_sensitive() -> None:
    text = small(
        a="features: [a, b] => features: [a]",
        b="shape: [-1, 2] => shape: [-1, 1]",
        c="float32, default: 1.0 => int32, default: 1",
        d="[-1, 1], meaning: score => [-1, 2], meaning: score",
    )
    text += "entity: user\ncandidates: {ids: y, scores: y, items: 5, segment: b}\n"
    (problem,) = problems(text)
    assert problem.startswith("line 12: candidates.ids: expected an output of ints")
    hidden = text.replace("default: 1}", "default: 1, sensitive: true}")
    assert problems(hidden)[-1] == (
        "line 12: candidates.segment: expected a feature that may be stored; b is sensitive"
    )


def test_the_published_schema_is_current() -> None:
    path = ROOT / "docs" / "model.schema.json"
    assert json.loads(path.read_text("utf-8")) == contract_schema(), (
        "quintet schema > docs/model.schema.json brings it up to date"
    )


def test_gates_of_a_rollout_are_on_or_off_with_quotes_or_without() -> None:
    # YAML reads a plain `on` as true and `off` as false
    gates = 'rollout: {gates: {score: off, labels: "off", errors: on, latency: dry_run}}'
    modes = read_contract((small() + gates).encode()).rollout.gates.modes
    assert modes == {
        "failures": "on",
        "score": "off",
        "labels": "off",
        "crashes": "on",
        "errors": "on",
        "latency": "dry_run",
    }
