"""What the SageMaker SDK 2 gets from an API: python sagemaker2.py API_URL AWS_URL BUCKET"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import boto3
import numpy as np
from botocore.exceptions import ClientError
from sagemaker import Session
from sagemaker.async_inference import WaiterConfig
from sagemaker.base_deserializers import (
    CSVDeserializer,
    JSONDeserializer,
    JSONLinesDeserializer,
    NumpyDeserializer,
)
from sagemaker.base_serializers import (
    CSVSerializer,
    JSONLinesSerializer,
    JSONSerializer,
    NumpySerializer,
)
from sagemaker.exceptions import ObjectNotExistedError
from sagemaker.predictor import Predictor
from sagemaker.predictor_async import AsyncPredictor

API, AWS, BUCKET = sys.argv[1:]
boto = boto3.Session("test", "test", region_name="us-east-1")
session = Session(
    boto,
    sagemaker_client=boto.client("sagemaker", endpoint_url=AWS),
    sagemaker_runtime_client=boto.client("sagemaker-runtime", endpoint_url=API),
    default_bucket=BUCKET,
)
session.s3_client = boto.client("s3", endpoint_url=AWS)
ROWS = [[3.0, 1.0], [5.0, 2.0]]
FORMS = {
    "csv": (CSVSerializer(), CSVDeserializer(), ROWS),
    "json": (JSONSerializer(), JSONDeserializer(), {"instances": ROWS}),
    "json row": (JSONSerializer(), JSONDeserializer(), ROWS[0]),
    "npy": (NumpySerializer(), NumpyDeserializer(), np.array(ROWS)),
    "lines": (
        JSONLinesSerializer(),
        JSONLinesDeserializer(),
        [{"features": row} for row in ROWS],
    ),
}


def plain(found: Any) -> Any:
    return found.tolist() if isinstance(found, np.ndarray) else found


def predictor(form: str) -> tuple[Predictor, Any]:
    serializer, deserializer, rows = FORMS[form]
    return Predictor("log", session, serializer, deserializer), rows


def at_once(form: str) -> Any:
    made, rows = predictor(form)
    return plain(made.predict(rows))


def later(form: str) -> Any:
    made, rows = predictor(form)
    place = f"s3://{BUCKET}/inputs/{form.replace(' ', '-')}"
    asked = AsyncPredictor(made, name="log").predict_async(rows, input_path=place)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return plain(asked.get_result())
        except ObjectNotExistedError:
            time.sleep(0.5)
    raise TimeoutError(form)


def waited() -> Any:
    """As its documentation calls it: it waits for the answer and for a failure at once."""
    made, rows = predictor("csv")
    place = f"s3://{BUCKET}/inputs/waited"
    waiter = WaiterConfig(max_attempts=10, delay=1)
    return AsyncPredictor(made, name="log").predict(rows, place, waiter_config=waiter)


found = {f"{form}, {call.__name__}": call(form) for form in FORMS for call in (at_once, later)}
found["csv, waited"] = waited()
try:
    Predictor("log", session, CSVSerializer()).predict([["a", 1]])
except ClientError as error:
    found["bad"] = error.response["Error"]
print(json.dumps(found))
