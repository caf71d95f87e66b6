"""InvokeEndpoint's bodies and errors, whole, over small real models."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from tests.kits.models import LOG, TEXT, online, renamed, shop_probability

from quintet.contract import Limits
from quintet.errors import QuintetError
from quintet.protocols import sagemaker
from quintet.protocols.http import Request, Response
from quintet.protocols.registry import SAGEMAKER
from quintet.serving import Online, RequestContext

JSON, CSV, NPY, LINES = (
    "application/json",
    "text/csv",
    "application/x-npy",
    "application/jsonlines",
)
CSV_TEXT = "text/csv; charset=utf-8"
LOGS = [pytest.approx(1.3862944), pytest.approx(0.6931472)]


@pytest.fixture(scope="module")
def service() -> Online:
    return online()


def invoke(
    service: Online,
    endpoint: str,
    body: bytes | str,
    content_type: str = JSON,
    accept: str | None = None,
    **headers: str,
) -> Response:
    named = {f"x-amzn-sagemaker-{n.replace('_', '-')}": v for n, v in headers.items()}
    named["content-type"] = content_type
    if accept is not None:
        named["accept"] = accept
    raw = body.encode() if isinstance(body, str) else body
    route = "/endpoints/{endpoint}/invocations"
    request = Request("POST", route, {"endpoint": endpoint}, named, raw)
    context = RequestContext("id")
    try:
        return SAGEMAKER.answer(service, request, context)
    except QuintetError as error:
        return sagemaker.failure(error, context)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"records": [{"x": 3, "y": 1}]}', JSON),
        ('{"records": [{"x": 3, "y": 1}], "partial": null, "outputs": null}', JSON),
        ('{"instances": [{"x": 3, "y": 1}]}', JSON),
        ('{"instances": [[3, 1]]}', JSON),
        ('{"inputs": {"x": 3, "y": 1}}', JSON),
        ("[[3, 1]]", JSON),
        ("[3, 1]", JSON),
        ('{"instances": [3, 1]}', JSON),
        ('{"inputs": [3, 1], "instances": null}', JSON),
        ('{"instances": [{"features": [3, 1]}]}', JSON),
        ('{"instances": [{"data": {"features": {"values": [3, 1]}}}]}', JSON),
        ('{"features": [3, 1]}', LINES),
        ("[[3, 1]]", ""),
        ("[[3, 1]]", "application/x-www-form-urlencoded"),
        ('{"x": 3, "y": 1}\n', LINES),
        ("[3, 1]\n\n", LINES),
        ("3,1", CSV),
        ("3,1\r\n", "text/csv; charset=utf-8"),
        ("x,y\n3,1\n", CSV),
        ("y,x\n1,3\n", CSV),
        ('\ufeff"y","x"\n1,3\n', CSV),
        (npy(np.array([[3.0, 1.0]])), NPY),
        (npy(np.array([3.0, 1.0])), NPY),
        (npy(np.array([[3, 1]])), NPY),
        (npy(np.array([[3, 1]], dtype=">f4")), NPY),
        (npy(np.asfortranarray([[3.0, 1.0]])), NPY),
    ],
)
def test_one_row_in_every_form(service: Online, body: bytes | str, content_type: str) -> None:
    response = invoke(service, "log", body, content_type)
    assert (response.status, response.headers) == (200, {"x-Amzn-Invoked-Production-Variant": "v1"})
    assert json.loads(response.body) == {
        "model": "log",
        "version": 1,
        "predictions": [{"logs": LOGS}],
    }


def test_rows_keep_their_order(service: Online) -> None:
    array = np.array([[3.0, 1], [5, 2], [9, 4]])
    response = invoke(service, "log", npy(array), NPY, NPY)
    expected = np.log(array @ np.array([[1, 1], [1, -1]]))
    assert np.load(io.BytesIO(response.body)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        (None, JSON, None),
        ("*/*", JSON, None),
        ("text/html, application/json;q=0.9", JSON, None),
        ("text/*, */*;q=0.9", CSV_TEXT, b"1.3862944,0.6931472\n1.3862944,0.6931472\n"),
        (CSV, CSV_TEXT, b"1.3862944,0.6931472\n1.3862944,0.6931472\n"),
        ("application/x-ndjson, application/json;q=0.5", "application/x-ndjson", None),
        ("application/jsonl", "application/jsonl", None),
        (LINES, LINES, b'{"logs":[1.3862944,0.6931472]}\n{"logs":[1.3862944,0.6931472]}\n'),
    ],
)
def test_the_answer_is_of_the_accepted_type(
    service: Online, accept: str | None, content_type: str, body: bytes | None
) -> None:
    response = invoke(service, "log", "3,1\n3,1\n", CSV, accept)
    assert (response.status, response.content_type) == (200, content_type)
    assert body is None or response.body == body


def test_values_without_names_start_with_the_entity_key(service: Online) -> None:
    response = invoke(service, "shop", "c1,100,2\nnobody,2000,1\n", CSV, CSV)
    (one, other) = response.body.decode().splitlines()
    label, probability = one.split(",")
    assert label == "1"
    assert float(probability) == pytest.approx(shop_probability(100, 2, 4), rel=1e-6)
    assert other == "1,0.75"


def test_arrays_are_written_value_by_value(service: Online) -> None:
    answer = b'{"parts":{"dark":6.0,"bright":15.0}}\n'
    rows = (
        ("1,2,3,4,5,6", CSV),
        ('{"image": [[1, 2, 3], [4, 5, 6]]}', LINES),
        ("[1, 2, 3, 4, 5, 6]", LINES),
        ("[[1, 2, 3], [4, 5, 6]]", LINES),
        (npy(np.array([[[1, 2, 3], [4, 5, 6]]])), NPY),
        (npy(np.arange(1, 7)), NPY),
    )
    for body, content_type in rows:
        assert invoke(service, "pixels", body, content_type, LINES).body == answer


def test_one_text_may_stand_alone(service: Online) -> None:
    for body in ('{"inputs": "shoes"}', '["shoes"]', '[["shoes"]]', '{"instances": ["shoes"]}'):
        found = json.loads(invoke(service, "text", body).body)["predictions"]
        assert found == [{"department": 2}]


def test_a_variant_is_a_version_and_attributes_are_echoed() -> None:
    service = online(LOG, renamed(LOG, version=2))
    response = invoke(service, "log", "3,1", CSV, target_variant="v1", custom_attributes="a=b c")
    assert response.headers == {
        "x-Amzn-Invoked-Production-Variant": "v1",
        "X-Amzn-SageMaker-Custom-Attributes": "a=b c",
    }


def refused(response: Response) -> tuple[int, str, str]:
    answer = json.loads(response.body)
    assert set(answer) <= {"Message", "OriginalStatusCode", "OriginalMessage"}
    return response.status, response.headers["x-amzn-errortype"], answer["Message"]


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"", JSON, "body: expected JSON in UTF-8"),
        (b"{}", JSON, 'body: expected one of "records", "instances" and "inputs", got 0 of them'),
        (b"[]", JSON, "rows: expected at least one row, got none"),
        (b"7", JSON, "row 0: row: expected 2 values, got a number"),
        (b"[[1, 2, 3]]", JSON, "row 0: row: expected 2 values, got 3"),
        (
            b'{"instances": [[1, 2]], "x": 1}',
            JSON,
            "body: expected keys of inputs, instances, records, got 'x'",
        ),
        (b"[1, 2, 3]", JSON, "row 0: row: expected 2 values, got 3"),
        (b'[{"features": 7}]', JSON, "row 0: row: expected 2 values, got a number"),
        (b'{"features": [1]}', LINES, "row 0: row: expected 2 values, got 1"),
        (
            b'{"data": {"features": {"keys": [1], "shape": [2], "values": [1]}}}',
            LINES,
            "data.features: expected keys of values, got 'keys'",
        ),
        (b'[{"data": {}}]', JSON, 'data.features: expected "values" with every value of the row'),
        (b'[{"data": 1}]', JSON, "data: expected an object, got a number"),
        (b'[{"z": 1}]', JSON, "row 0: z: expected one of x, y, got another field"),
        (b"[[1, 1e999]]", JSON, "body: expected JSON in UTF-8"),
        (b'[{"x": 1, "x": 2}]', JSON, "body: expected each key once, got 'x' twice"),
        (b'{"x": 1}\n{"x": NaN}\n', LINES, "row 1: body: expected JSON in UTF-8"),
        (b"\n", LINES, "rows: expected at least one row, got none"),
        (b"", CSV, "rows: expected at least one row, got none"),
        (b"x,y\n", CSV, "rows: expected at least one row, got none"),
        (b"x,z\n1,2\n", CSV, "z: expected one of x, y, got an unknown column"),
        (b"y\n1\n", CSV, "x: expected a column of that name, got no such column"),
        (b"x,x\n1,2\n", CSV, "header: expected each column once, got one twice"),
        (b"1,2\n1,2,3\n", CSV, "row 1: row: expected 2 values, got 3"),
        (b"1,b\n", CSV, "row 0: y: expected a number (float32), got 'b'"),
        (b"1,nan\n", CSV, "row 0: y: expected a finite number (float32), got nan"),
        (b"1,1e999\n", CSV, "row 0: y: expected a finite number (float32), got inf"),
        (b'1,"2\n', CSV, "body: expected CSV"),
        (b"\xff,1\n", CSV, "body: expected CSV in UTF-8"),
        (b"not npy", NPY, "body: expected an npy file"),
        (npy(np.array([[1.0, 2, 3]])), NPY, "body: expected 2 values in a row, got shape [1, 3]"),
        (npy(np.array([["a", "b"]])), NPY, "body: expected an array of numbers, got one of 'U'"),
        (npy(np.array([[1.0, 2]]))[:-1], NPY, "body: expected as many values as"),
        (npy(np.array([[np.inf, 2]])), NPY, "row 0: x: expected a finite number (float32)"),
        (npy(np.zeros((0, 2))), NPY, "rows: expected at least one row, got none"),
    ],
)
def test_bad_input_is_a_validation_error(
    service: Online, body: bytes, content_type: str, text: str
) -> None:
    status, kind, message = refused(invoke(service, "log", body, content_type))
    assert (status, kind) == (400, "ValidationError")
    assert message.startswith(text)


def test_a_pickle_in_an_npy_file_is_not_read(service: Online) -> None:
    file = io.BytesIO()
    np.save(file, np.array([[print, 1]], dtype=object), allow_pickle=True)
    status, _, message = refused(invoke(service, "log", file.getvalue(), NPY))
    assert (status, message) == (400, "body: expected an array of numbers, got one of 'O'")


def test_an_npy_header_that_claims_terabytes_costs_nothing(service: Online) -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2)}
    )
    status, _, message = refused(invoke(service, "log", file.getvalue() + b"12345678", NPY))
    assert (status, message.startswith("body: expected as many values")) == (400, True)


@pytest.mark.parametrize(
    ("header", "content"),
    [
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0, 73786976294838206464), }",
            b"",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 73786976294838206464), }", b""),
        ("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 0), }", b""),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2), }", b"12345678"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 8), }", b"x" * 32),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -2), }", b"12345678"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 99 + "2), }", b"12345678"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': 2, }", b"12345678"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': ((1, 2),), }", b"12345678"),
        ("{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,), }", b"12345678"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)", b"12345678"),
        ("('", b""),
        ("[" * 5000, b""),
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_npy_header_is_checked_before_anything_is_reshaped(
    service: Online, version: int, header: str, content: bytes
) -> None:
    size = struct.pack("<H" if version == 1 else "<I", len(header) + 1)
    body = b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + b"\n" + content
    status, kind, message = refused(invoke(service, "log", body, NPY))
    assert (status, kind) == (400, "ValidationError")
    assert message.startswith(("body: ", "rows: ")), message


@pytest.mark.parametrize(
    ("header", "value", "field"),
    [
        ("target_model", "other", "TargetModel"),
        ("inference_component", "other", "InferenceComponentName"),
        ("target_container_hostname", "log", "TargetContainerHostname"),
        ("session_id", "NEW_SESSION", "SessionId"),
        ("enable_explanations", "`true`", "EnableExplanations"),
    ],
)
def test_what_would_mean_something_else_is_refused(
    service: Online, header: str, value: str, field: str
) -> None:
    status, kind, message = refused(invoke(service, "log", "[[3, 1]]", **{header: value}))
    assert (status, kind) == (400, "ValidationError")
    assert message.startswith(f"{field}: expected none")


def test_what_changes_nothing_is_taken(service: Online) -> None:
    same = {"target_model": "log", "inference_component": "log", "enable_explanations": "`false`"}
    assert invoke(service, "log", "[[3, 1]]", **same, inference_id="mine").status == 200


@pytest.mark.parametrize(
    ("body", "media"),
    [
        ("[" + "[]," * 200_000 + "[]]", JSON),
        ('{"records": [' + '{"x": 1},' * 200_000 + "{}]}", JSON),
        ("[" + "1," * 200_000 + "1]\n", LINES),
        ("1,2\n" * 200_000, CSV),
        ("1," * 200_000 + "1\n", CSV),
    ],
)
def test_more_values_than_the_contract_has_are_refused_before_they_are_made(
    body: str, media: str
) -> None:
    service = online(renamed(LOG, limits=Limits(rows=10, bytes=10_000_000)))
    service.route(RequestContext("id"), "log", None)
    tracemalloc.start()
    try:
        status, _, message = refused(invoke(service, "log", body, media))
        made = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (status, message.partition(":")[0]) == (413, "body")
    assert made < 5 * len(body)


def test_commas_in_texts_are_no_values(service: Online) -> None:
    wide = online(renamed(TEXT, limits=Limits(rows=10, bytes=10_000_000)))
    text = ', \\"' * 100_000
    assert invoke(wide, "text", json.dumps([{"text": text}])).status == 200
    assert invoke(wide, "text", ('"' + "," * 70_000 + '"\n') * 3, CSV).status == 200


def test_the_errors_have_the_names_that_botocore_knows(service: Online) -> None:
    row = "[[3, 1]]"
    assert refused(invoke(service, "nope", row))[:2] == (400, "ValidationError")
    assert refused(invoke(service, "log", row, target_variant="v9"))[:2] == (400, "ValidationError")
    assert refused(invoke(service, "log", row, target_model="x"))[:2] == (400, "ValidationError")
    assert refused(invoke(service, "log", row, "image/png"))[:2] == (415, "ValidationError")
    assert refused(invoke(service, "log", row, JSON, "image/png"))[:2] == (415, "ValidationError")
    assert refused(invoke(service, "log", str([[3, 1]] * 11)))[:2] == (413, "ValidationError")
    bad = invoke(service, "log", row, custom_attributes="a\r\nX-Evil: 1")
    assert refused(bad)[:2] == (400, "ValidationError")


def test_a_model_failure_carries_what_botocore_shows(service: Online) -> None:
    response = invoke(service, "log", "[[1, 2]]")
    text = "row 0: logs: expected a finite output, got nan"
    assert (response.status, response.headers) == (424, {"x-amzn-errortype": "ModelError"})
    assert json.loads(response.body) == {
        "Message": text,
        "OriginalStatusCode": 500,
        "OriginalMessage": text,
    }


def test_what_was_not_foreseen_says_nothing_but_the_request() -> None:
    response = sagemaker.failure(None, RequestContext("id"))
    assert (response.status, response.headers) == (500, {"x-amzn-errortype": "InternalFailure"})
    assert json.loads(response.body) == {"Message": "internal error; request id"}
