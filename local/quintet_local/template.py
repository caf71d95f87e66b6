"""template.yaml, read and expanded by SAM's own translator; nothing is resolved yet."""

from __future__ import annotations

import logging
import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from samtranslator.yaml_helper import intrinsics_multi_constructor

from quintet_local.names import REGION
from quintet_local.parameters import ParameterError, parameters

__all__ = ["YAML", "Template", "TemplateError", "load", "local_path", "parse", "read"]

# SAM requires packaged code; like `sam package`, this turns a local path into an S3 address,
# which `local_path` turns back.
_BUCKET = "quintet-local-paths"
_PATH_PROPERTIES = ("CodeUri", "ContentUri", "DefinitionUri")


#: libyaml where PyYAML has it: ten times as fast
YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _SamYaml(YAML):  # type: ignore[misc]
    """YAML with SAM's short intrinsics."""


_SamYaml.add_multi_constructor("!", intrinsics_multi_constructor)


class TemplateError(Exception):
    """The template is not usable; the text names the resource."""


@dataclass(frozen=True)
class Template:
    """An expanded template: plain CloudFormation, intrinsics unresolved.

    `source` is the SAM template as read, `parameters` every parameter's value.
    """

    path: Path
    source: dict[str, Any]
    resources: dict[str, Any]
    conditions: dict[str, Any]
    outputs: dict[str, Any]
    mappings: dict[str, Any]
    parameters: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.path.parent


def load(path: Path, overrides: Mapping[str, str] | None = None) -> Template:
    """Load and expand the template at `path`; `overrides` replace the local stage's parameters.

    Raises:
        TemplateError: unreadable, not a template, an unknown parameter, or refused by SAM.
    """
    source = read(path)
    configured = _samconfig(path.with_name("samconfig.toml"))
    try:
        values = parameters(source, {**configured, **(overrides or {})})
    except ParameterError as error:
        raise TemplateError(str(error)) from error
    expanded = _expand(path, source, values)
    return Template(
        path=path.resolve(),
        source=read(path),  # the translator modifies its input
        resources=expanded["Resources"],
        conditions=expanded.get("Conditions") or {},
        outputs=expanded.get("Outputs") or {},
        mappings=expanded.get("Mappings") or {},
        parameters=values,
    )


def read(path: Path) -> dict[str, Any]:
    """Read the template with short intrinsics (`!Ref`) in their long form.

    Raises:
        TemplateError: unreadable or not a template.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise TemplateError(f"{path}: {error.strerror}") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> dict[str, Any]:
    """The same of a template's text; errors begin with its name."""
    try:
        source = yaml.load(text, _SamYaml)  # nosec B506
    except Exception as error:  # the parser's YAML errors have no narrower common base
        raise TemplateError(f"{name}: {error}") from error
    if not isinstance(source, dict) or not isinstance(source.get("Resources"), dict):
        raise TemplateError(f"{name}: not a template, it has no Resources")
    return source


def local_path(bucket: str, key: str) -> str | None:
    """Return the path, relative to the template, of an expanded S3 address."""
    return key if bucket == _BUCKET else None


def _samconfig(path: Path) -> dict[str, str]:
    """Return the parameters of the stage `local`, as `sam deploy --config-env local` uses them."""
    try:
        settings = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise TemplateError(f"{path}: {error}") from error
    stage = settings.get("local", {})
    given = stage.get("deploy", stage.get("global", {})).get("parameters", {})
    overrides = given.get("parameter_overrides", [])
    if isinstance(overrides, str):
        overrides = shlex.split(overrides)
    return dict(text.partition("=")[::2] for text in overrides)


def _expand(path: Path, source: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    # half a second of imports, which commands that only read a template do without
    import boto3
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator
    from samtranslator.utils import py27hash_fix

    for resource in source["Resources"].values():
        properties = resource.get("Properties") or {}
        for name in _PATH_PROPERTIES:
            value = properties.get(name)
            if isinstance(value, str) and not value.startswith("s3://"):
                properties[name] = f"s3://{_BUCKET}/{os.path.normpath(value)}"
    values: dict[str, Any] = dict(given)
    py27hash_fix.to_py27_compatible_template(source, values)
    # its feature toggles are read from AWS; each failed look-up here would be a warning
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=REGION))
    try:
        expanded = translator.translate(source, values, get_managed_policy_map=dict)
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"{path}: {causes}") from error
    result: dict[str, Any] = py27hash_fix.undo_mark_unicode_str_in_template(expanded)
    return result
