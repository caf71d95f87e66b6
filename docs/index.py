"""The index of the documents, docs/README.md, as llms.txt (https://llmstxt.org)."""

from __future__ import annotations

import posixpath
import re

__all__ = ["ENTRY", "llms"]

#: an entry of the index: its title, its page from docs, and what the page says
ENTRY = re.compile(r"^- \[(?P<title>[^]]+)\]\((?P<page>[^)]+)\): (?P<text>.+)$", re.MULTILINE)


def llms(index: str, readme: str) -> str:
    """The text of llms.txt, with links from the repository's root.

    Args:
        index: docs/README.md.
        readme: README.md, whose first bold sentence says what Quintet is.

    Raises:
        ValueError: the README has no bold sentence, or a section of the index no entry.
    """
    title = re.search(r"^# (.+)$", readme, re.MULTILINE)
    summary = re.search(r"\*\*(.+?)\*\*", readme, re.DOTALL)
    if not (title and summary):
        raise ValueError("README.md: expected a title and a bold sentence below it")
    lines = [f"# {title[1]}", "", f"> {' '.join(summary[1].split())}"]
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        entries = [_line(entry) for entry in ENTRY.finditer(body)]
        if not entries:
            raise ValueError(f"docs/README.md: expected an entry below {heading!r}, found none")
        lines += ["", f"## {heading}", "", *entries]
    return "\n".join(lines) + "\n"


def _line(entry: re.Match[str]) -> str:
    page = posixpath.normpath(posixpath.join("docs", entry["page"]))
    return f"- [{entry['title']}]({page}): {entry['text']}"
