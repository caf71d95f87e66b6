"""A child's entry point: it leaves the network, then runs the `main` of a module."""

from __future__ import annotations

import importlib
import sys

from quintet_publish.child_limits import deny_network

if __name__ == "__main__":
    deny_network()  # before the module's imports start threads
    importlib.import_module(sys.argv[1]).main(*sys.argv[2:])
