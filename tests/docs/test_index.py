"""docs/README.md lists every document once, by kind, and llms.txt is made from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.index import ENTRY, llms

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = (DOCS / "README.md").read_text(encoding="utf-8")
README = "# Thing\n\n**It serves\nmodels.** More."


def test_the_index_has_the_four_kinds() -> None:
    kinds = re.findall(r"^## (.+)$", INDEX, re.MULTILINE)
    assert kinds == ["Tutorials", "How-to guides", "Reference", "Explanation"]


def test_every_page_is_in_the_index_once() -> None:
    listed = [entry["page"] for entry in ENTRY.finditer(INDEX)]
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    apart = {page for page in pages if page.startswith("adr/")} - {"adr/README.md"}
    assert len(listed) == len(set(listed))
    assert pages - apart - {"README.md"} - set(listed) == set()


def test_every_bullet_of_the_index_is_an_entry() -> None:
    assert len(re.findall("^- ", INDEX, re.MULTILINE)) == len(ENTRY.findall(INDEX))


def test_llms_txt_links_from_the_root() -> None:
    index = "# Documents\n\n## Reference\n\nFor a fact.\n\n- [A](a.md): x\n- [B](../B.md): y\n"
    assert llms(index, README) == (
        "# Thing\n\n> It serves models.\n\n## Reference\n\n- [A](docs/a.md): x\n- [B](B.md): y\n"
    )


def test_the_files_of_llms_txt_exist() -> None:
    pages = re.findall(r"\]\(([^)]+)\)", (ROOT / "llms.txt").read_text(encoding="utf-8"))
    assert len(pages) > 30
    assert [page for page in pages if not (ROOT / page).exists()] == []


def test_a_section_without_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="below 'Reference', found none"):
        llms("## Reference\n\nNothing.\n", README)


def test_a_readme_without_a_summary_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a title and a bold sentence"):
        llms("## Reference\n\n- [A](a.md): x\n", "# Thing\n")
