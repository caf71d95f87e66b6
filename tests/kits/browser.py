"""Pages as Chromium lays them out, offline."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["laid_out"]

#: what is measured of every page: the elements of `main` that reach beyond the window, how far the
#: page can be scrolled sideways, and the resources that it asked for
MEASURED = """
  width: innerWidth,
  over: boxes.filter(b => b.right > innerWidth + 0.5).length,
  sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  requests: performance.getEntriesByType('resource').length,
"""


def laid_out(page: bytes, folder: Path, width: int, measures: str) -> dict[str, Any]:
    """What Chromium made of the page in a window of that width.

    `measures` are more entries of the object that JavaScript returns.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium is not None, "install Chromium: apt-get install chromium"
    script = (
        "<script>document.querySelectorAll('details').forEach(e => { e.open = true; });"
        "const boxes = [...document.querySelectorAll('main *')].map("
        "e => e.getBoundingClientRect());"
        f"document.title = JSON.stringify({{{MEASURED}{measures}}});</script></body>"
    )
    path = folder / f"page-{width}.html"
    path.write_bytes(page.replace(b"</body>", script.encode()))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1600"]
    done = subprocess.run(
        [chromium, *flags, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title is not None
    found: dict[str, Any] = json.loads(title.group(1))
    return found
