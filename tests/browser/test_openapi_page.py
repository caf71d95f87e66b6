"""The page of an OpenAPI document as a browser lays it out. Run by `make test-browser`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.kits.aws import ROOT
from tests.kits.browser import laid_out

from quintet_cli.openapi import page

pytestmark = pytest.mark.browser

#: what a description may hold: it comes from a contract, which anyone may have written
HOSTILE = "<script>document.body.dataset.ran = 'yes'</script><img src=x onerror=alert(1)>"
#: the page lets no script run, and so none that measures it
POLICY = "default-src 'none'"
MEASURES = """
  ran: document.body.dataset.ran || '',
  images: document.querySelectorAll('img').length,
  operations: document.querySelectorAll('details').length,
  empty: [...document.querySelectorAll('details')].filter(
    e => e.innerText.trim().length < 10).length,
  unreached: [...document.querySelectorAll('summary')].filter(e => {
    e.focus();
    return document.activeElement !== e;
  }).length,
  broken: [...document.querySelectorAll('a[href^="#"]')].filter(
    e => !document.getElementById(decodeURIComponent(e.getAttribute('href').slice(1)))).length,
  links: document.querySelectorAll('a[href^="#"]').length,
"""


@pytest.mark.parametrize("width", [1200, 600, 500])
@pytest.mark.parametrize("name", ["api", "fraud", "ranker"])
def test_a_document_fits_its_window(tmp_path: Path, name: str, width: int) -> None:
    document: dict[str, Any] = json.loads((ROOT / f"docs/openapi/{name}.json").read_text())
    document["info"]["description"] += HOSTILE
    body = page(document)
    assert body.count(POLICY) == 1
    measurable = body.replace(POLICY, f"{POLICY}; script-src 'unsafe-inline'").encode()
    found = laid_out(measurable, tmp_path, width, MEASURES)
    assert found.pop("operations") > 5 and found.pop("links") > 5
    assert found == {
        "width": width,
        "over": 0,
        "sideways": 0,
        "requests": 0,
        "ran": "",
        "images": 0,
        "empty": 0,
        "unreached": 0,
        "broken": 0,
    }
