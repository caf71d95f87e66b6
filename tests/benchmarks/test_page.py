"""The page of the benchmarks says what is stored."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.page import BEGIN, END, PAGE, PLOT, SHOWN, Figures, plot, section, stored

FIGURES = Figures("some", "Some", "some", "server", "ms", "ms")
DOCUMENT = {
    "note": "3 rounds",
    "machine": {
        "cores": 2,
        "processor": "A",
        "python": "3.11",
        "load": 0.5,
        "versions": {"numpy": "2"},
    },
    "rows": [
        {"server": "Quintet <one>", "ms": {"median": 1.5, "min": 1.0, "max": 2.0}},
        {"server": "Other", "ms": {"median": 3.0, "min": 2.5, "max": 4.0}, "cores": 2},
    ],
}


def test_the_page_and_its_plot_are_of_the_stored_results() -> None:
    found = [(one, document) for one in SHOWN if (document := stored(one)) is not None]
    _, _, rest = PAGE.read_text().partition(BEGIN)
    text, _, _ = rest.partition(END)
    assert text.strip() == section(found)
    assert PLOT.read_text() == plot([one for one in found if one[0].result.startswith("peers")])


def test_a_row_has_its_figure_command_and_load() -> None:
    lines = section([(FIGURES, DOCUMENT)]).splitlines()
    assert lines[2:] == [
        "| Some | Quintet <one> | 1.5 (1 to 2) | ms | `python -m benchmarks.some` | 0.5 |",
        "| Some | Other, 2 cores | 3 (2.5 to 4) | ms | `python -m benchmarks.some` | 0.5 |",
        "",
        "2 cores of A, Python 3.11, numpy 2. some: 3 rounds.",
    ]


def test_the_longest_bar_is_the_most() -> None:
    drawn = ElementTree.fromstring(plot([(FIGURES, DOCUMENT)]))
    bars = list(drawn.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert abs(widths[1] - 2 * widths[0]) < 0.2  # rounded to a tenth
    texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "Quintet <one>" in texts
    assert "3 (2.5 to 4)" in texts
