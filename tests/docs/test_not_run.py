"""The code of the documents is run, or has a reason why not; no code hides in an unnamed block."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.not_run import NOT_RUN, REASONS, reason
from tests.kits.commands import check_command, commands_in
from tests.kits.local_aws import ROOT
from tests.kits.pages import COMMANDS, Block, blocks, missing, pages

#: what a reader reads, and does not type
SHOWN = {"ini", "json", "sql", "text", "toml", "yaml", "yml"}
FOUND = [one for page in pages() for one in blocks(page)]
COMMAND = [one for one in FOUND if one.language in COMMANDS]


def test_every_block_names_its_language() -> None:
    assert {one.name: one.language for one in FOUND if one.language not in COMMANDS | SHOWN} == {}


def test_no_command_hides_in_a_block_that_is_shown() -> None:
    typed = re.compile(r"^\$ |^(?:curl|aws|sam|python|pip|export) ", re.MULTILINE)
    assert [one.name for one in FOUND if one.language == "text" and typed.search(one.code)] == []


@pytest.mark.parametrize("key", NOT_RUN)
def test_an_exception_is_of_a_block_that_exists(key: str) -> None:
    assert [one for one in COMMAND if reason(one) is NOT_RUN[key]]
    assert any(key in (one.name, one.page) or one.page.startswith(key) for one in COMMAND)


@pytest.mark.parametrize("key", NOT_RUN)
def test_an_exception_has_a_reason_or_a_test(key: str) -> None:
    why = NOT_RUN[key]
    if why not in REASONS:
        page = key.partition(":")[0].removesuffix("/").rpartition("/")[2]
        assert page.removesuffix(".md") in (ROOT / why).read_text(encoding="utf-8")


def test_commands_that_are_not_run_exist() -> None:
    not_run = [
        one for one in FOUND if (one in COMMAND and reason(one) in REASONS) or one.language in SHOWN
    ]
    found = [(one.name, words) for one in not_run for words in commands_in(one.code)]
    assert len(found) > 30
    for name, words in found:
        check_command(words, name)


def test_most_blocks_are_run() -> None:
    assert sum(reason(one) is None for one in COMMAND) >= 40


def test_a_session_is_parted_into_commands_and_what_they_print(tmp_path: Path) -> None:
    session = "```console\n$ curl x -d '\n  {}'\n{\"a\": 1}\n$ a \\\n  b\n```\n\n"
    page = tmp_path / "page.md"
    page.write_text(f"{session}```bash\nc\n```\n\n```text\nd ...\n```\n", encoding="utf-8")
    assert blocks(page, tmp_path) == [
        Block("page.md", 1, "console", "curl x -d '\n  {}'\na \\\n  b", ('{"a": 1}',)),
        Block("page.md", 9, "bash", "c", ("d ...",)),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "absent"),
    [
        (["a ... c"], "x\na  b c\n", []),
        (["a", "b"], "b\na\n", ["b"]),
        (["a"], "ab\n", ["a"]),
        (["1.5"], "1x5\n", ["1.5"]),
        ([""], "", []),
    ],
)
def test_what_is_shown_is_found_in_its_order(
    shown: list[str], printed: str, absent: list[str]
) -> None:
    assert missing(shown, printed) == absent
