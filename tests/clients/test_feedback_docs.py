"""The request in docs/recommend-feedback.md, run against the local AWS."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.kits import models
from tests.kits.local_aws import LocalAws

TEXT = (Path(__file__).parents[2] / "docs/recommend-feedback.md").read_text()


def test_curl_gets_what_is_shown(local_aws: LocalAws) -> None:
    """With a small ranker in the place of the example package, which takes long to publish."""
    contract = models.SHELF
    models.publish_graph(contract, models.log_graph(), models.ROWS["log"], local_aws.registry)
    ((request, shown),) = re.findall(
        r"\$ (curl \"\$API/feedback\".*?\}\]\}')\n(.*?)\n```", TEXT, re.DOTALL
    )
    environment = {"API": local_aws.api_url}
    command = ["bash", "-c", request.replace('"ranker"', '"shelf"')]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == json.loads(shown.replace('"ranker"', '"shelf"'))
