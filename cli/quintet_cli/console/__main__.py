"""The console beside a local AWS: python -m quintet_cli.console STATE DESCRIPTOR < token"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from quintet_cli.console.serving import serve
from quintet_cli.stage import Stage
from quintet_local.loopback import bypass_proxies


def main(state: Path, descriptor: int) -> None:
    """Serve at a socket that listens already."""
    bypass_proxies(os.environ)
    token = sys.stdin.read()
    serve(Stage.open("local", state), socket.socket(fileno=descriptor), token, state)
    # a thread may still wait for AWS; none holds work to finish
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
