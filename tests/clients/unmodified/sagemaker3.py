"""What the SageMaker SDK 3 gets from the API at AWS_ENDPOINT_URL: python sagemaker3.py BUCKET"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import numpy as np
from botocore.exceptions import ClientError
from sagemaker.core.resources import Endpoint

BUCKET = sys.argv[1]
endpoint = Endpoint(endpoint_name="log")


def body_of(answer: Any) -> bytes:
    return bytes(answer.body.read())


def npy() -> Any:
    file = io.BytesIO()
    np.save(file, np.array([[3.0, 1.0]]))
    kind = "application/x-npy"
    answer = endpoint.invoke(body=file.getvalue(), content_type=kind, accept=kind)
    return np.load(io.BytesIO(body_of(answer))).tolist()


json_answer = endpoint.invoke(
    body=json.dumps({"instances": [[3, 1]]}),
    content_type="application/json",
    accept="application/json",
    custom_attributes="trace=7",
)
found = {
    "json": json.loads(body_of(json_answer))["predictions"],
    "variant": json_answer.invoked_production_variant,
    "attributes": json_answer.custom_attributes,
    "csv": body_of(
        endpoint.invoke(body="3,1", content_type="text/csv", accept="text/csv")
    ).decode(),
    "npy": npy(),
}
later = endpoint.invoke_async(
    input_location=f"s3://{BUCKET}/inputs/v3.csv", content_type="text/csv", inference_id="v3"
)
found["async"] = [later.inference_id, later.output_location.startswith(f"s3://{BUCKET}/results/")]
try:
    endpoint.invoke(body="a,1", content_type="text/csv")
except ClientError as error:
    found["bad"] = error.response["Error"]
print(json.dumps(found))
