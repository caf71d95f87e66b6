"""What the pages of reports share: one self-contained file, without scripts."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["document", "table"]

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6878;--line:#e3e7ee;--back:#f6f7fa;
--card:#fff;--good:#12805c;--bad:#c0392b;--warn:#a86400;--bar:#4669d8}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#98a3b3;--line:#2c3440;
--back:#12161c;--card:#1a2028;--good:#3fc391;--bad:#ff7b6b;--warn:#e8a33d;--bar:#7d9bff}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1000px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:24px;margin:0;letter-spacing:-.01em}
h2{font-size:16px;margin:32px 0 10px}
p{margin:4px 0}
.soft{color:var(--soft)}
.top{display:flex;align-items:center;gap:12px;flex-wrap:wrap}
.badge{font-weight:600;font-size:13px;padding:2px 10px;border-radius:99px;
border:1.5px solid currentColor}
.succeeded{color:var(--good)}.failed,.refused{color:var(--bad)}.stopped{color:var(--warn)}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin:22px 0 0}
.card{flex:1 1 150px;min-width:max-content}
.card,.box{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:14px 16px}
.card b{display:block;font-size:27px;line-height:1.2;font-weight:650;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}
.card span{color:var(--soft);font-size:13px}
.box.bad{border-color:var(--bad);margin-top:18px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
th{color:var(--soft);font-weight:500;font-size:13px;text-align:left}
th,td{padding:7px 12px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;
padding-right:28px}
td:last-child,th:last-child{padding-right:0}
code{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:12px}
svg rect{fill:var(--bar)}
.balance{display:flex;height:10px;border-radius:99px;overflow:hidden;background:var(--line);
margin-top:14px}
.balance i{display:block}
"""


def document(title: str, style: str, parts: Iterable[str]) -> bytes:
    """A whole page of HTML parts; `style` is added to what all pages have."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body><main>"
        f"{''.join(parts)}</main></body></html>\n"
    ).encode()


def table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of HTML cells; a head that starts with # marks a column of numbers."""
    heads = list(heads)
    numbers = {place for place, name in enumerate(heads) if name.startswith("#")}

    def cells(tag: str, row: Iterable[str]) -> str:
        return "".join(_cell(tag, cell, place in numbers) for place, cell in enumerate(row))

    head = f"<tr>{cells('th', (escape(n.lstrip('#')) for n in heads))}</tr>" if heads else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="box scroll"><table>{head}{body}</table></div>'


def _cell(tag: str, content: str, number: bool) -> str:
    kind = ' class="n"' if number else ""
    return f"<{tag}{kind}>{content}</{tag}>"
