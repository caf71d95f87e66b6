"""AWS service endpoints: hosts by service, region and partition.

The rules match botocore's endpoint data for the services that this package calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["PARTITIONS", "Address", "locate"]

#: region prefix of a partition -> DNS suffix, DNS suffix of dual-stack endpoints; the
#: commercial partition, whose regions share no prefix, is the default
PARTITIONS = {
    "": ("amazonaws.com", "api.aws"),
    "cn-": ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    "eusc-": ("amazonaws.eu", "api.amazonwebservices.eu"),
    "us-iso-": ("c2s.ic.gov", "api.aws.ic.gov"),
    "us-isob-": ("sc2s.sgov.gov", "api.aws.scloud"),
    "eu-isoe-": ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    "us-isof-": ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    "us-gov-": ("amazonaws.com", "api.aws"),
}
#: services whose default endpoints in GovCloud are the FIPS ones, by region
_FIPS_ALREADY = {
    "dynamodb": ("us-gov-east-1", "us-gov-west-1"),
    "sns": ("us-gov-east-1", "us-gov-west-1"),
    "sqs": ("us-gov-east-1", "us-gov-west-1"),
    "states": ("us-gov-west-1",),
}
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
#: the service's name in AWS_ENDPOINT_URL_<SERVICE>, where it differs from the host's
_SERVICE_IDS = {"monitoring": "CLOUDWATCH", "states": "SFN"}


class Address(NamedTuple):
    """The address of a request: scheme, host, port and path prefix."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def authority(self) -> str:
        """The Host header; it includes the port only if it is not the scheme's default."""
        usual = {"http": 80, "https": 443}[self.scheme]
        return self.host if self.port == usual else f"{self.host}:{self.port}"


def locate(service: str, region: str, path: str, environ: Mapping[str, str]) -> tuple[Address, str]:
    """Return the address of a service, and the path on that host.

    `environ` may override the endpoint (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>) or
    select FIPS or dual-stack endpoints (AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT).
    For S3, the bucket goes into the host name, unless the endpoint is overridden or the bucket
    name is not a valid host label: AWS's wildcard certificate does not cover dots.
    """
    variable = f"AWS_ENDPOINT_URL_{_SERVICE_IDS.get(service, service.upper())}"
    url = environ.get(variable) or environ.get("AWS_ENDPOINT_URL")
    if url:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return Address(parts.scheme, parts.hostname or "", port, parts.path.rstrip("/")), path
    host = _host(
        service,
        region,
        fips=environ.get("AWS_USE_FIPS_ENDPOINT", "").lower() == "true",
        dual_stack=environ.get("AWS_USE_DUALSTACK_ENDPOINT", "").lower() == "true",
    )
    bucket, _, key = path[1:].partition("/")
    if service == "s3" and _HOST_LABEL.fullmatch(bucket):
        return Address("https", f"{bucket}.{host}", 443), f"/{key}"
    return Address("https", host, 443), path


def _host(service: str, region: str, *, fips: bool, dual_stack: bool) -> str:
    prefix = next((p for p in PARTITIONS if p and region.startswith(p)), "")
    suffix, dual_stack_suffix = PARTITIONS[prefix]
    if dual_stack:
        # Step Functions has no other dual-stack endpoints in GovCloud
        fips = fips or (service == "states" and prefix == "us-gov-")
    elif region in _FIPS_ALREADY.get(service, ()):
        fips = False
    name = f"{service}-fips" if fips else service
    if service == "s3":
        return f"{name}.dualstack.{region}.{suffix}" if dual_stack else f"{name}.{region}.{suffix}"
    return f"{name}.{region}.{dual_stack_suffix if dual_stack else suffix}"
