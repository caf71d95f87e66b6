"""The cost of a fresh process's first S3 GET: our client compared with boto3's.

    python benchmarks/s3_get.py

Each figure is the wall time from after numpy's and onnxruntime's import (which every cold
start pays) to the object's bytes, in a fresh process, against one local moto server; medians
of interleaved rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

from moto.server import ThreadedMotoServer

from quintet.aws.client import AwsClient

ROUNDS = 15
VARIANTS = {
    "quintet.aws.client": """
from quintet.aws.client import AwsClient
body = AwsClient("s3").request("GET", "/bucket/key").body
""",
    "botocore session": """
import botocore.session
s3 = botocore.session.get_session().create_client("s3")
body = s3.get_object(Bucket="bucket", Key="key")["Body"].read()
""",
    "boto3": """
import boto3
body = boto3.client("s3").get_object(Bucket="bucket", Key="key")["Body"].read()
""",
}
PROGRAM = """
import numpy, onnxruntime, time
start = time.perf_counter()
{variant}
assert len(body) == 100_000
print((time.perf_counter() - start) * 1000)
"""


def main() -> None:
    """Print the medians."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environ = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    client = AwsClient("s3", environ=environ)
    client.request("PUT", "/bucket")
    client.request("PUT", "/bucket/key", body=b"x" * 100_000)
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(ROUNDS):
        for name, variant in VARIANTS.items():
            program = PROGRAM.format(variant=variant)
            run = subprocess.run(
                [sys.executable, "-c", program], env=environ, capture_output=True, check=True
            )
            times[name].append(float(run.stdout))
    for name, values in times.items():
        print(f"{name:<20}{statistics.median(values):>8.1f} ms")
    server.stop()


if __name__ == "__main__":
    main()
