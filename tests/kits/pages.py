"""The code in the documents: its blocks, and how a page's are run as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.kits.local_aws import ROOT

__all__ = ["COMMANDS", "Block", "blocks", "missing", "pages", "prelude", "run"]

#: languages of blocks that a reader types
COMMANDS = frozenset({"bash", "console", "python"})
#: what a reader has in a clone
CLONE = ("Makefile", "events", "functions", "layers", "models", "samconfig.toml", "statemachines")
#: in place of the ports that the pages name; any that runs will do
PORTS = "--port 0 --api-port 0 --no-console"
#: for all blocks of a page, on a busy machine
SECONDS = 400
_FENCE = re.compile(r"^ *```(\S*)$")
_MARK = "=====block "


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `shown` is what the page says that it prints."""

    page: str
    line: int
    language: str
    code: str
    shown: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The page and the block's first line: for a table and a failure."""
        return f"{self.page}: {self.code.strip().splitlines()[0] if self.code.strip() else ''}"


def pages() -> list[Path]:
    """The pages whose code a reader may type."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*/README.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def blocks(page: Path, root: Path = ROOT) -> list[Block]:
    """The blocks of a page below `root`, commands with the lines that are shown of them."""
    found: list[Block] = []
    name, opened, begun, lines = str(page.relative_to(root)), None, 0, list[str]()
    between = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened, begun, lines = fence[1], number, []
            else:
                between += line
        elif fence:
            one = _block(name, begun, opened, lines)
            last = found[-1] if found else one
            if opened == "text" and last.language in {"bash", "python"} and not between.strip():
                found[-1] = Block(last.page, last.line, last.language, last.code, tuple(lines))
            else:
                found.append(one)
            opened, between = None, ""
        else:
            lines.append(line.rstrip())
    return found


def _block(page: str, number: int, language: str, lines: Sequence[str]) -> Block:
    if language != "console":
        return Block(page, number, language, "\n".join(lines))
    commands, shown = _session(lines)
    return Block(page, number, language, "\n".join(commands), tuple(shown))


def _session(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """The commands after `$`, each until its quotes are closed, and what is shown of them."""
    commands, shown = list[str](), list[str]()
    whole = True
    for line in lines:
        if not whole:
            commands[-1] += f"\n{line}"
        elif line.startswith("$ "):
            commands.append(line[2:])
        else:
            shown.append(line)
            continue
        whole = _is_whole(commands[-1])
    return commands, shown


def _is_whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:  # a quote is open
        return False
    return not command.endswith("\\")


def prelude() -> list[Block]:
    """What every page takes for granted: the block in the index of the documents."""
    return [one for one in blocks(ROOT / "docs/README.md") if one.language == "bash"]


def run(found: Sequence[Block], folder: Path, api_url: str) -> Iterator[tuple[Block, str]]:
    """Run blocks one after another in a shell, in a folder like a clone; yields what each prints.

    The local AWS of the folder is up already, on ports of its own, where the pages name others.

    Raises:
        AssertionError: a block failed, or they took too long.
    """
    for name in (*CLONE, "template.yaml"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".curlrc").write_text('write-out = "\\n"\n')  # as a prompt on a line of its own
    script = "\n".join(
        f"printf '\\n{_MARK}{number}\\n'\n{_shell(one, number)}" for number, one in enumerate(found)
    )
    script = script.replace("quintet up --detach", f"quintet up --detach {PORTS}")
    script = script.replace("source .venv/bin/activate", "")
    script = script.replace("http://127.0.0.1:4567", api_url)
    path = f"{Path(sys.executable).parent}:{os.defpath}"
    log = folder / "printed.txt"
    with log.open("w", encoding="utf-8") as printing:
        process = subprocess.Popen(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=folder,
            env={"HOME": str(folder), "PATH": path, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=printing,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what the page left in the background
            process.wait()
    printed = log.read_text(encoding="utf-8")
    assert status == 0, f"status {status}\n{printed}"
    texts = re.split(rf"^{_MARK}\d+\n", printed, flags=re.MULTILINE)[1:]
    yield from zip(found, texts, strict=True)


def _shell(block: Block, number: int) -> str:
    if block.language != "python":
        return block.code
    return f"python - <<'BLOCK{number}'\n{block.code}\nBLOCK{number}"


def missing(shown: Sequence[str], printed: str) -> list[str]:
    """The shown lines that are not among the printed ones, in their order; `...` is any text."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    absent = []
    for line in shown:
        pattern = ".*".join(map(re.escape, re.split(r" ?\.\.\. ?", " ".join(line.split()))))
        if line.strip() and not any(re.fullmatch(pattern, other) for other in lines):
            absent.append(line)
            break
    return absent
