"""Ports of other servers' HTTP tests: what each expects, and whether Quintet does the same.

The table of docs/clients.md is made of them: python -m tests.clients.ports --write
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from docs.generate import fill
from urllib3.response import BaseHTTPResponse as Response

__all__ = ["PAGE", "Port", "Response", "port", "sections", "send"]

PAGE = Path(__file__).parents[2] / "docs/clients.md"
#: each suite, the module of its ports, and where its tests come from
SUITES = {
    "Triton": ("test_triton_port", "triton-inference-server/server, qa/L0_http"),
    "KServe": ("test_kserve_port", "kserve/kserve, python/kserve/test/test_server.py"),
    "MLServer": ("test_mlserver_port", "SeldonIO/MLServer, tests/rest"),
}

Test = TypeVar("Test", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Port:
    """The port of a test: what the test expects, and why Quintet differs, if it does."""

    suite: str
    test: str
    expects: str
    because: str | None


PORTS: dict[tuple[str, str], Port] = {}


def port(suite: str, test: str, expects: str, because: str | None = None) -> Callable[[Test], Test]:
    """Register a test as the port of another; without `because`, it holds the same expectation.

    The same means that a request is answered or refused alike, by status, values and headers. The
    words of errors are each server's own.
    """
    PORTS[suite, test] = Port(suite, test, expects, because)
    return lambda function: function


def send(
    method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
) -> Response:
    """An answer to a body as it is, in chunks if it comes in parts, or to a value as JSON."""
    if isinstance(body, dict | list):
        body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
    return urllib3.request(method, url, body=body, headers=headers, timeout=60, retries=False)


def sections() -> dict[str, list[str]]:
    """The lines of docs/clients.md for each suite, and its counts, by their marks."""
    for module, _ in SUITES.values():
        importlib.import_module(f"tests.clients.{module}")
    found = {"counts": ["", "| Suite | Tests | Same |", "|---|---|---|"]}
    for suite, (module, origin) in SUITES.items():
        ports = [one for one in PORTS.values() if one.suite == suite]
        same = Counter(one.because is None for one in ports)[True]
        found["counts"].append(f"| {suite}: `{origin}` | {len(ports)} | {same} |")
        rows = (
            f"| `{one.test}` | {one.expects} | "
            f"{'same' if one.because is None else f'different, because {one.because}'} |"
            for one in ports
        )
        head = ["", f"| Test (`tests/clients/{module}.py`) | Expects | Quintet |", "|---|---|---|"]
        found[suite] = [*head, *rows]
    return found


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.clients.ports")
    parser.add_argument("--write", action="store_true", help="write docs/clients.md")
    text = fill(PAGE.read_text(encoding="utf-8"), sections())
    if parser.parse_args().write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    importlib.import_module("tests.clients.ports").main()  # the module that the ports register in
