"""`quintet choose`: each example of its page with its whole answer, and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from benchmarks.costs import stage
from benchmarks.costs_million import million
from tests.kits.schemas import valid
from typer.testing import CliRunner

from quintet_cli.choosing.answers import choose
from quintet_cli.choosing.break_even import MEMORY_MB, break_even, function_usd, server_usd
from quintet_cli.choosing.designs import DESIGNS, Pattern
from quintet_cli.choosing.needs import Cost, Load, Needs, Source
from quintet_cli.choosing.rules import RULES
from quintet_cli.commands.choose import register

# this command alone: the others take longer to build than it to run
app = typer.Typer()
register(app)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/choose.md"
ANSWERS = Path(__file__).with_name("choose_answers.txt")
EXAMPLES = re.findall(
    r"^\| [^|]+ \| `(--source [^`]+)` \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.M
)


def printed(*arguments: str) -> str:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == 0, found.output
    return found.stdout


def refused(*arguments: str) -> str:
    """What a refusal writes on standard error, without the frame and line ends."""
    found = CliRunner().invoke(app, list(arguments))
    assert (found.exit_code, found.stdout) == (2, "")
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", found.stderr).split())


def test_every_example_of_the_page_has_its_whole_answer() -> None:
    assert len(EXAMPLES) == 10
    found = [
        f"$ quintet choose {flags} --explain\n{printed(*shlex.split(flags), '--explain')}"
        for flags, _ in EXAMPLES
    ]
    assert "\n".join(found) == ANSWERS.read_text(encoding="utf-8")


@pytest.mark.parametrize(("flags", "pattern"), EXAMPLES)
def test_json_of_an_example_follows_the_schema(flags: str, pattern: str) -> None:
    answer = valid("quintet choose", printed(*shlex.split(flags), "--json"))
    assert Pattern(answer["pattern"]).label == pattern
    assert answer["design"] == DESIGNS[answer["pattern"]].model_dump(mode="json")


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        ("--source request --latency 1s --gpu", "gpu"),
        ("--source files --latency 1d --size-gb 10.5", "size"),
        ("--source files --latency 1d --model-ms 900001", "long"),
        ("--source request --latency 20m --cost lowest", "files"),
        ("--source request --latency 20m", "queue"),
        ("--source files --latency 30s --freshness 1m", "events"),
        ("--source request --latency 50ms --known all", "ahead"),
        ("--source request --latency 50ms --known some", "rerank"),
        ("--source request --latency 50ms --known some --freshness 10m", "wait"),
        ("--source events --latency 3s", "events"),
        ("--source events --latency 2900ms", "wait"),
        ("--source request --latency 29s", "wait"),
        ("--source request --latency 10s --loss none --delay some", "queue"),
        ("--source request --latency 2s --loss none --delay some", "wait"),
        ("--source request --latency 1s --load steady --volume 8.9/s", "wait"),
        ("--source request --latency 1s --load steady --volume 9/s", "steady"),
        ("--source request --latency 1s --load spiky --volume 900/s", "wait"),
        ("--source request --latency 1s --load steady --volume 9/s --callback", "queue"),
    ],
)
def test_each_rule_holds_up_to_its_bounds(flags: str, rule: str) -> None:
    assert json.loads(printed(*shlex.split(flags), "--json"))["rule"] == rule


def test_the_rules_are_those_of_the_cases_above() -> None:
    names = "gpu size long files ahead rerank events queue steady wait"
    assert [rule.name for rule in RULES] == names.split()


def test_a_flip_is_the_answer_to_the_changed_needs() -> None:
    needs = Needs(source=Source.events, latency_s=600)
    flips = [flip.change for flip in choose(needs).flips]
    assert flips[:2] == ["latency under 3 s", "latency of 1 h or more"]
    assert choose(needs.model_copy(update={"latency_s": 2.9})).pattern == "online"
    assert choose(needs.model_copy(update={"latency_s": 3600.0})).pattern == "batch"
    lowest = choose(needs.model_copy(update={"cost": Cost.lowest})).flips
    assert lowest[1].change == "latency of 15 min or more"


@pytest.mark.parametrize("model_ms", [0.5, 5, 100, 2_000, 60_000])
def test_from_the_break_even_on_a_server_costs_no_more(model_ms: float) -> None:
    even = break_even(model_ms)
    assert even is not None
    rate, usd = even.requests_per_second, function_usd(model_ms) * 3600
    assert server_usd(rate, model_ms) <= rate * usd
    below = rate - 0.1
    assert below <= 0 or server_usd(below, model_ms) > below * usd


def test_a_function_costs_what_the_page_of_costs_says() -> None:
    of = stage()
    (online,) = (lines for title, lines in million(of).items() if title.startswith("Online"))
    usd = sum(line.usd for line in online if line.what in {"API Gateway", "Lambda"})
    assert function_usd(5) * 1e6 == pytest.approx(usd)
    assert int(of.template.parameters["PredictMemoryMb"]) == MEMORY_MB


def test_pages_have_the_sections_that_designs_link() -> None:
    pages = {one.page for design in DESIGNS.values() for one in design.resilience}
    for link in pages | {design.page for design in DESIGNS.values()}:
        path, _, anchor = link.partition("#")
        heads = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.M)
        slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
        assert not anchor or anchor in slugs, link


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "--source and --latency missing: give --source request, events or files"),
        ("--latency 1s", "--source missing: give --source request, events or files"),
        ("--gpu --source files", "--latency missing: give --source request, events or files"),
        ("--source letters --latency 1s", "'letters' is not one of 'request', 'events', 'files'"),
        ("--source files --latency 5", "'--latency': expected a time above 0 such as 200ms, 10s"),
        ("--source files --latency 0s", "got '0s'"),
        ("--source files --latency 1d --freshness soon", "'--freshness': expected a time above 0"),
        ("--source files --latency 1d --volume 5", "'--volume': expected a number above 0 by"),
        ("--source files --latency 1d --size-gb nan", "'--size-gb': expected a number above 0"),
        (f"--source files --latency 1d --size-gb {'9' * 400}", "expected a number above 0"),
        (
            "--source request --latency 100ms --model-ms 500",
            "--model-ms: the model alone takes 500 ms, more than --latency, 100 ms",
        ),
    ],
)
def test_a_wrong_or_missing_flag_is_refused_by_name(flags: str, message: str) -> None:
    assert message in refused(*shlex.split(flags))


def test_a_terminal_asks_and_asks_again(tmp_path: Path) -> None:
    """The third answer is none; the questions go to standard error, the answer to the other."""
    replies = ["request", "letters", "150ms", "50/s", "steady", "", "", "", "", "", "", ""]
    command = [sys.executable, "-c", "from quintet_cli.app import main; main()", "choose", "--json"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        os.write(ours, "".join(f"{reply}\n" for reply in replies).encode())
        out, err = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, err
    answer: dict[str, Any] = json.loads(out)
    expected = Needs(source=Source.request, latency_s=0.15, rate=50, load=Load.steady)
    assert answer == json.loads(choose(expected).model_dump_json())
    assert b"expected a time above 0 such as 200ms" in err
