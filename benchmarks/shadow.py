"""What callers notice of a rollout in shadow: python -m benchmarks.shadow

Requests through the API of the local AWS with shadow and without, in blocks; `compare` runs the
candidate beside it on the same cores. `rollout_overhead` has the handler's processor time.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.online_setup import MODEL, ROOT, records, served_model
from benchmarks.reports import milliseconds, options, report
from tests.kits.local_aws import LocalAws

from quintet.rollouts.store import Cause, RolloutStore
from quintet.rollouts.transitions import roll_back, start

#: what changes in answers with time alone
AGES = re.compile(r',"features_age_s":{[^}]*}')
BLOCKS, ASKED, ROUTE_SECONDS = 3, 200, 6.0


def main() -> None:
    """Measure and report."""
    asked = options(__doc__, "shadow").parse_args()
    with served_model() as local:
        with tempfile.TemporaryDirectory() as folder:
            publish_second(local, Path(folder))
        found = through_the_api(local)
    report("shadow", found, f"{BLOCKS} blocks of {ASKED} requests each", write=asked.write)


def publish_second(local: LocalAws, folder: Path) -> None:
    """Publish the example again as version 2."""
    copy = shutil.copytree(ROOT / "models" / MODEL, folder / MODEL)
    contract = copy / "model.yaml"
    contract.write_text(contract.read_text().replace("version: 1", "version: 2", 1))
    command = str(Path(sys.executable).with_name("quintet"))
    subprocess.run([command, "publish", str(copy), "--state", str(local.state)], check=True)


def through_the_api(local: LocalAws) -> list[dict[str, Any]]:
    """The time of requests by HTTP, in blocks; all answers must be the same bytes, but for ages."""
    store: RolloutStore = local.registry.routes
    body = json.dumps({"records": records(1)}).encode()
    request = Request(f"{local.api_url}/models/{MODEL}/predict", body)
    times: dict[str, list[float]] = {"without": [], "shadow": []}
    bodies = set()
    for block in range(BLOCKS):
        for name, took in times.items():
            cause = Cause(at=time.time(), by="benchmark")
            if name == "shadow":
                change = start(store.read(MODEL), 2, cause, id=f"r{block}", steps=(1.0,))
                assert store.write(change)
            elif store.read(MODEL).rollout is not None:
                assert store.write(roll_back(store.read(MODEL), cause))
            time.sleep(ROUTE_SECONDS)
            for _ in range(ASKED):
                begun = time.perf_counter()
                with urlopen(request, timeout=30) as answer:
                    body = answer.read().decode()
                took.append(time.perf_counter() - begun)
                bodies.add(AGES.sub("", body))
        assert store.write(roll_back(store.read(MODEL), Cause(at=time.time(), by="benchmark")))
    assert len(bodies) == 1, "answers differ"
    return [{"way": name, **milliseconds(seconds, 50, 95)} for name, seconds in times.items()]


if __name__ == "__main__":
    main()
