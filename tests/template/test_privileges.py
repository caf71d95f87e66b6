"""Each action and resource of the template's policies is used by a call of the tests, as recorded.

`python -m tests.privileges --write` renews the record.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.kits.aws import ROOT
from tests.kits.privileges import differences, exceptions, left_over, statements, used

TEMPLATE = ROOT / "template.yaml"
#: of predict's statements, what reads published versions and what writes payloads
READS = """              Action: s3:GetObject
              Resource: !Sub "${RegistryBucket.Arn}/models/*"
            - Effect: Allow
              Action: [dynamodb:Query, dynamodb:Scan]
"""


def test_the_policies_allow_what_is_called_and_nothing_else() -> None:
    assert left_over(differences(statements(), used())) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            READS.replace("s3:GetObject", "[s3:GetObject, s3:DeleteObject]"),
            "Predict: s3:DeleteObject on registrybucket/models/* is not used",
        ),
        (
            READS.replace("/models/*", "/secrets/*"),
            "Predict: s3:GetObject on registrybucket/models/* was used, and is in no statement",
        ),
        (
            READS.replace(
                '!Sub "${RegistryBucket.Arn}/models/*"',
                '[!Sub "${RegistryBucket.Arn}/models/*", !Sub "${ScoresBucket.Arn}/*"]',
            ),
            "Predict: scoresbucket/* is not used by s3:GetObject",
        ),
    ],
)
def test_a_planted_change_is_named(tmp_path: Path, changed: str, line: str) -> None:
    text = TEMPLATE.read_text()
    assert READS in text
    planted = tmp_path / "template.yaml"
    planted.write_text(text.replace(READS, changed, 1))
    for folder in ("functions", "layers", "statemachines"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    assert line in left_over(differences(statements(planted), used()))


def test_the_tests_that_hold_what_seldom_comes_about_are_there() -> None:
    named = [file for reason in exceptions().values() for file in re.findall(r"\S+\.py", reason)]
    assert named
    assert [file for file in named if not (ROOT / "tests" / file).is_file()] == []
