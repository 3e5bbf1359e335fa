"""Which function `sojourn profile` is to measure: one of a running server, or one in a file or module."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import click
import msgspec

from sojourn.cli.http_call import admin_json
from sojourn.domain.function import NAME, FunctionManifest, FunctionSettings
from sojourn.errors import ClientError, ConfigurationError, SojournError, TargetError
from sojourn.launcher.describe import describe

_MODULE_HINT = "to measure a file or module without a server, name it: sojourn profile app.py:NAME"


class Place(NamedTuple):
    """A target to import, and which of its functions is meant; None if it has only one."""

    target: str
    name: str | None


def place_in(text: str) -> Place | None:
    """The file or module that the text names, such as `app.py`, `app.py:digits`, `pkg.module:digits`.

    Returns:
        None if it is the name of a function.

    Raises:
        click.UsageError: It is nothing of that kind.
    """
    target, colon, name = text.rpartition(":")
    if colon:
        if not target or not name:
            raise click.UsageError(f"{text!r}: write the file or module, a colon, and the function: app.py:digits")
        return Place(target, name)
    if NAME.fullmatch(text) and not Path(text).is_file():
        return None
    return Place(text, None)


async def from_target(place: Place, timeout_s: float) -> FunctionManifest:
    """The manifest of the function at a place.

    Raises:
        TargetError: The target cannot be imported, has no such function, or has several and none is named.
    """
    return _chosen(await describe(place.target, timeout_s), place)


async def from_server(name: str, admin_url: str, timeout_s: float) -> FunctionManifest:
    """The manifest of a function that a server runs, with the settings in force there.

    Goes to the server's directory: what its function reads by a relative path is found there.

    Raises:
        ClientError: The server does not answer, knows no such function, got it by a deploy, or runs where its files are not
            at hand.
        TargetError: Its target cannot be imported here.
    """
    try:
        detail = admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}")
    except ClientError as err:
        raise ClientError(f"{err}\n{_MODULE_HINT}") from err
    if _is_deployed(name, admin_url):
        raise ClientError(
            f"function {name!r} was deployed, and its source lies in the server's store; measure it where it was deployed "
            f"from, without the server: sojourn profile {detail.get('target') or 'app.py'}:{name}"
        )
    target, directory, settings = _told(detail, admin_url)
    try:
        os.chdir(directory)
    except OSError as err:
        raise ClientError(
            f"the server at {admin_url} runs in {directory}, which cannot be entered here ({err.strerror}); {_MODULE_HINT}"
        ) from err
    manifest = _chosen(await describe(target, timeout_s), Place(target, name))
    if manifest.revision != detail["revision"]:
        click.echo(
            f"warning: {target} has changed since the server imported it (revision {detail['revision']}, now "
            f"{manifest.revision}); measured is what it is now",
            err=True,
        )
    return msgspec.structs.replace(manifest, settings=settings)


def _is_deployed(name: str, admin_url: str) -> bool:
    """Whether the server has revisions of a function, rather than a file or module named at its start."""
    try:
        admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}/revisions")
    except ClientError:
        return False
    return True


def _told(detail: dict[str, Any], admin_url: str) -> tuple[str, str, FunctionSettings]:
    """Target, directory and settings as the server tells them."""
    target, directory = detail.get("target"), detail.get("working_directory")
    try:
        settings = msgspec.convert(detail.get("settings"), FunctionSettings)
    except (msgspec.ValidationError, SojournError) as err:
        raise ClientError(f"the settings that {admin_url} tells are of another version: {err}; {_MODULE_HINT}") from err
    if not target or not directory:
        raise ClientError(f"the server at {admin_url} does not tell what it imported; {_MODULE_HINT}")
    return target, directory, settings


def _chosen(manifests: Sequence[FunctionManifest], place: Place) -> FunctionManifest:
    names = [manifest.name for manifest in manifests]
    if place.name is None:
        if len(manifests) == 1:
            return manifests[0]
        choices = ", ".join(f"{place.target}:{name}" for name in names)
        raise TargetError(f"{place.target} declares {len(names)} functions: name one of {choices}")
    for manifest in manifests:
        if place.name in {manifest.name, manifest.attribute}:
            return manifest
    raise TargetError(f"{place.target} declares no function {place.name!r}, only {', '.join(names)}")


def thread_counts(text: str) -> tuple[int, ...]:
    """Thread counts from a text such as `1,2,4` (a click type).

    Raises:
        click.BadParameter: It is none.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and 1 <= int(word[:9]) <= 1024 for word in words):
        raise click.BadParameter(f"must be thread counts in [1, 1024] such as 1,2,4, not {text!r}")
    return tuple(int(word) for word in words)


def check_writable(path: Path) -> None:
    """Say before minutes of measuring, not after, that their result could not be written.

    Raises:
        ConfigurationError: The file is a directory, or its directory is missing or not writable.
    """
    if path.is_dir():
        raise ConfigurationError(f"--output {path}: that is a directory; name a file")
    if not path.parent.is_dir():
        raise ConfigurationError(f"--output {path}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ConfigurationError(f"--output {path}: the directory cannot be written to")
