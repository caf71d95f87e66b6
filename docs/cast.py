"""A terminal's session as an animated SVG: python -m docs.cast

Runs `quintet demo` on a local AWS of its own, in a terminal, and draws what it printed and when:
docs/demo.svg. A wait is cut to `LONGEST_WAIT`. `--out FILE` and `--command LINE` draw another one.
The SVG needs no script and no font; it stands still, at the end, for readers who want no motion.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from string import Template

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

__all__ = ["Line", "draw", "main", "project_links", "record", "shown_at", "typed"]

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "docs/demo.svg"
#: what a folder needs for the clone's commands
PROJECT = ("template.yaml", "samconfig.toml", "functions", "layers", "models", "statemachines")
COLUMNS = 110
ROWS = 30
LONGEST_WAIT = 2.5
#: seconds that the last screen stays before the animation begins again
REST = 12.0
PROMPT = "\x1b[1;32m$\x1b[0m "
CHAR, LINE = 20, 24.4  # Rich's height of a character and of a line
LEFT, TOP, BAR = 14, 8, 38

#: the console's key, which is shown to nobody else
_TOKEN = re.compile(r"token=[\w-]+")
#: dark, whatever the page around it is
_THEME = TerminalTheme(
    (13, 17, 23),
    (230, 237, 243),
    [
        (110, 118, 129),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
)
#: for Rich, and before that for `Template`
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $shape" role="img">
<title>$title</title>
<style>
text{{font:{char_height}px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}}
{styles}
$motion
</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117" stroke="#6e7681"/>
<text x="50%" y="26" text-anchor="middle" fill="#b1bac4">$title</text>
<svg x="$left" y="$bar" width="$inner" height="$tall">
<g class="all">
{backgrounds}{matrix}
<rect class="rest" width="100%" height="$whole" fill="#0d1117"/>
</g>
</svg>
</svg>
"""


@dataclass(frozen=True)
class Line:
    """A line of a terminal, with its colours as escape sequences, and when it was there."""

    at: float  # seconds from the beginning
    text: str


def typed(command: str, at: float = 0.0, *, clock: bool = False) -> Line:
    """The line that a reader types, behind the minutes and seconds since the beginning or not."""
    told = f"\x1b[36m{int(at) // 60}:{int(at) % 60:02}\x1b[0m " if clock else ""
    return Line(at, f"{told}{PROMPT}\x1b[1m{command}\x1b[0m")


def record(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], began: float | None = None
) -> list[Line]:
    """Run a command in a terminal of `COLUMNS`; what it printed, line by line.

    What moves (progress, spinners) is left out: `TTY_INTERACTIVE=0` tells Rich so.

    Args:
        command: the program and its words.
        folder: where it runs.
        environ: added to the environment.
        began: when the session did, by the monotonic clock; now without it.

    Raises:
        RuntimeError: it failed; the text is what it printed.
    """
    began = time.monotonic() if began is None else began
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    look = {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**kept, **look, "COLUMNS": str(COLUMNS), **environ},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    lines = _read(ours, began)
    if process.wait():
        printed = "\n".join(line.text for line in lines)
        raise RuntimeError(f"{shlex.join(command)} ended with {process.returncode}:\n{printed}")
    return lines


def _read(terminal: int, began: float) -> list[Line]:
    """Lines until nobody can write to the terminal any more."""
    lines, rest = [], b""
    with open(terminal, "rb", buffering=0) as stream:
        while True:
            try:
                chunk = stream.read(65536)
            except OSError:  # Linux's way to say that it is closed
                chunk = b""
            at = time.monotonic() - began
            *whole, rest = (rest + chunk).split(b"\n")
            if not chunk and rest:
                whole.append(rest)
            texts = (one.rstrip(b"\r").decode(errors="replace") for one in whole)
            lines += [Line(at, _TOKEN.sub("token=...", text)) for text in texts]
            if not chunk:
                return lines


def shown_at(lines: Sequence[Line], longest: float = LONGEST_WAIT) -> list[float]:
    """When each line appears in the animation: no wait is longer than `longest` seconds."""
    times = [0.5]
    for before, line in pairwise(lines):
        times.append(times[-1] + min(line.at - before.at, longest))
    return times


def draw(lines: Sequence[Line], title: str, longest: float = LONGEST_WAIT) -> str:
    """The session as an SVG."""
    rows = [
        (at, row)
        for at, line in zip(shown_at(lines, longest), lines, strict=True)
        for row in _rows(line.text)
    ]
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="256"
    )
    for _, row in rows:
        console.print(row, no_wrap=True, crop=False)
    width, tall = COLUMNS * CHAR * 0.61, ROWS * LINE
    values = {
        "shape": f"{width + 2 * LEFT:.0f} {tall + BAR + TOP:.0f}",
        "title": escape(title),
        "motion": _motion([at for at, _ in rows]),
        "left": f"{LEFT}",
        "bar": f"{BAR}",
        "inner": f"{width:.0f}",
        "tall": f"{tall:.0f}",
        "whole": f"{(len(rows) + ROWS) * LINE:.0f}",
    }
    for_rich = {name: value.replace("{", "{{").replace("}", "}}") for name, value in values.items()}
    svg = console.export_svg(
        title="", theme=_THEME, unique_id="c", code_format=Template(_SVG).substitute(for_rich)
    )
    # a space is 1 character, not the 6 of its entity; nothing overflows, so nothing is clipped
    svg = re.sub(r' clip-path="[^"]*"', "", svg.replace("&#160;", "\u00a0"))
    return re.sub(r"<text [^>]*>\n</text>", "", svg)


def _rows(line: str) -> Iterable[Text]:
    """A line as the terminal shows it: one that is too long goes on in the next row."""
    text = Text.from_ansi(line)
    text.rstrip()
    cuts = range(COLUMNS, len(text), COLUMNS)
    return text.divide(cuts) if cuts else [text]


def _motion(times: Sequence[float]) -> str:
    """The rules that uncover a row at its time, and scroll so that the last one is seen."""
    whole = times[-1] + REST
    there = {at: count for count, at in enumerate(times, 1)}  # rows that are there at a time
    frames: dict[str, list[str]] = {"scroll": [], "uncover": []}
    for at, count in {0.0: 0, **there}.items():
        share = f"{100 * at / whole:.2f}%"
        for name, y in (("scroll", min(0, ROWS - count)), ("uncover", count)):
            frames[name].append(f"{share}{{transform:translateY({y * LINE:.1f}px)}}")
    last = len(times)
    rules = [f"@keyframes {name}{{{''.join(steps)}}}" for name, steps in frames.items()]
    moving = f"{whole:.1f}s step-end infinite"
    return "\n".join(
        [
            f".all{{transform:translateY({min(0, ROWS - last) * LINE:.1f}px)}}",
            f".rest{{transform:translateY({last * LINE:.1f}px)}}",
            *rules,
            "@media (prefers-reduced-motion: no-preference){"
            f".all{{animation:scroll {moving}}}.rest{{animation:uncover {moving}}}}}",
        ]
    )


def project_links(folder: Path) -> None:
    """Make a folder one of the clone's, with a state of its own."""
    for name in PROJECT:
        (folder / name).symlink_to(ROOT / name)


def main() -> int:
    """Record a command and write its SVG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEMO, metavar="FILE")
    parser.add_argument("--command", default="quintet demo", metavar="LINE")
    given = parser.parse_args()
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project_links(folder)
        try:
            lines = record(shlex.split(given.command), folder, {"PATH": search})
        finally:
            quintet = Path(sys.executable).with_name("quintet")
            subprocess.run([quintet, "down"], cwd=folder, check=True, capture_output=True)
    seconds = lines[-1].at
    title = f"{given.command}: {seconds:.0f} s; waits over {LONGEST_WAIT} s are cut"
    svg = draw([typed(given.command), *lines], title)
    given.out.write_text(svg, encoding="utf-8")
    print(f"{given.out}: {len(svg.encode()):,} bytes, {len(lines)} lines in {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
