"""What `sojourn doctor` looks at, one function per question."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import http.client
import importlib
import importlib.metadata
import json
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sojourn.cli.doctor import Finding
from sojourn.cli.tls_probe import unjudging
from sojourn.config.load import load_settings
from sojourn.config.settings import ServerSettings
from sojourn.errors import ConfigurationError
from sojourn.launcher.in_force import NOT_ISOLATED, mechanisms
from sojourn.launcher.isolation import Isolation, IsolationSettings

_PACKAGES = ("click", "httptools", "msgspec", "prometheus_client", "rich", "starlette", "uvicorn", "uvloop")
_PYTHON_MIN = (3, 11)
_SOMAXCONN_MIN = 1024
_PR_GET_PDEATHSIG = 2
_PROBE_S = 2.0
_HEALTH_BYTES_MAX = 65_536


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Every finding, in an order where the first failure is the likeliest cause of the rest.

    Args:
        environment: Where the settings are read from, besides sojourn.toml.
    """
    questions: list[Callable[[], Finding]] = [_python, _system, _packages, _event_loop, _unix_sockets, _death_signal]
    for question in questions:
        yield _asked(question)
    yield _asked(_cores)
    yield _asked(_somaxconn)
    try:
        settings = load_settings({}, environment)
    except ConfigurationError as err:
        yield Finding("settings", "fail", str(err).replace("\n", " "), "correct what is named")
        settings = ServerSettings(state_dir=Path())
    else:
        yield Finding("settings", "ok", "readable")
        yield _asked(lambda: _state_dir(settings.state_dir))
    yield _asked(lambda: _descriptors(settings.connections))
    yield from _isolation(settings)
    yield _asked(lambda: _port("inference port", settings.host, settings.port, "--port", "/livez"))
    yield _asked(lambda: _port("admin port", settings.admin_host, settings.admin_port, "--admin-port", "/healthz"))


def _asked(question: Callable[[], Finding]) -> Finding:
    """The answer; a question that cannot even be asked is a failure with its reason."""
    try:
        return question()
    except Exception as err:  # noqa: BLE001 (the doctor reports, it does not fall ill)
        name = question.__name__.strip("_<>").replace("_", " ")
        return Finding(name, "fail", f"{type(err).__name__}: {err}", "this check itself failed; see the cause")


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < _PYTHON_MIN:
        return Finding("python", "fail", version, "install Python 3.11 or newer")
    return Finding("python", "ok", f"{version} at {sys.executable}")


def _system() -> Finding:
    if sys.platform == "linux":
        return Finding("system", "ok", f"linux {os.uname().release} {os.uname().machine}")
    return Finding("system", "fail", sys.platform, "run on Linux; it is the supported platform")


def _packages() -> Finding:
    versions, missing = [], []
    for package in _PACKAGES:
        try:
            importlib.import_module(package)
            versions.append(f"{package} {importlib.metadata.version(package.replace('_', '-'))}")
        except ImportError as err:
            missing.append(f"{package} ({err})")
    if missing:
        return Finding("packages", "fail", "; ".join(missing), "reinstall the package into this environment")
    return Finding("packages", "ok", ", ".join(versions))


def _event_loop() -> Finding:
    import uvloop  # noqa: PLC0415 (the question is whether this works)

    async def answer() -> str:
        await asyncio.sleep(0)
        return type(asyncio.get_running_loop()).__module__

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return Finding("event loop", "ok", f"{runner.run(answer())} runs")


def _unix_sockets() -> Finding:
    with tempfile.TemporaryDirectory(prefix="sojourn-") as directory:
        path = str(Path(directory) / "probe.sock")
        if len(path.encode()) > 100:  # sun_path holds 108 bytes; replicas' socket names are a little longer
            return Finding("unix sockets", "fail", f"{path} is too long", "set TMPDIR to a shorter path")
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen(1)
            client.connect(path)
            accepted, _ = server.accept()
            accepted.close()
    return Finding("unix sockets", "ok", f"work under {tempfile.gettempdir()}")


def _death_signal() -> Finding:
    number = ctypes.c_int(0)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0) == 0:
        return Finding("parent-death signal", "ok", "prctl works")
    cause = os.strerror(ctypes.get_errno())
    return Finding(
        "parent-death signal",
        "warn",
        f"prctl failed: {cause}",
        "replicas will notice a dead server by their closed socket only; allow prctl in the sandbox",
    )


def _cores() -> Finding:
    cores = float(len(os.sched_getaffinity(0)))
    quota = _cgroup_cores()
    if quota is not None and quota < cores:
        found, cores = f"{cores:.0f}, limited to {quota:g} by the control group", quota
    else:
        found = f"{cores:.0f}"
    if cores < 2:
        return Finding("cores", "warn", found, "server and replicas will share one core; give at least two")
    return Finding("cores", "ok", found)


def _cgroup_cores() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _somaxconn() -> Finding:
    value = int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"))
    if value < _SOMAXCONN_MIN:
        return Finding(
            "somaxconn", "warn", str(value), f"bursts of new connections may be lost; sysctl net.core.somaxconn={4096}"
        )
    return Finding("somaxconn", "ok", str(value))


def _descriptors(connections: int) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    if hard != resource.RLIM_INFINITY and hard < connections + 512:
        return Finding(
            "file descriptors",
            "warn",
            f"{soft} now, {shown} at most, for {connections} connections",
            "raise `ulimit -Hn`, or lower --connections",
        )
    return Finding("file descriptors", "ok", f"{soft} now, {shown} at most")


def _state_dir(path: Path) -> Finding:
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK) or not existing.is_dir():
        return Finding("state directory", "fail", f"{existing} cannot be written", "choose another with --state-dir")
    if existing == path:
        found = path.stat()
        if found.st_uid != os.getuid():
            return Finding("state directory", "fail", f"{path} is another user's", "choose another with --state-dir")
        if found.st_mode & 0o022:
            return Finding("state directory", "fail", f"{path} can be written by others", f"chmod go-w {path}")
        return Finding("state directory", "ok", f"{path}")
    return Finding("state directory", "ok", f"{path} (will be made)")


def _isolation(settings: ServerSettings) -> Iterator[Finding]:
    """What would keep replicas apart, and what nothing does."""
    wanted = IsolationSettings(**{name: getattr(settings, name) for name in IsolationSettings.__struct_fields__})
    for mechanism in mechanisms(Isolation(wanted, settings.state_dir)):
        verdict, state = ("ok", "on") if mechanism.is_on else ("warn", "off")
        yield Finding(f"replicas: {mechanism.name}", verdict, f"{state}: {mechanism.found}", mechanism.remedy)
    most = settings.replica_log_files * settings.replica_log_bytes / 1024**2
    kept = f"on: at most {most:.6g} MiB per function" if most else "off: switched off"
    yield Finding("replicas: log files", "ok" if most else "warn", kept, "" if most else "--replica-log-files")
    yield Finding("replicas: not isolated", "ok", NOT_ISOLATED)


def _is_sojourn(host: str, port: int, health_path: str) -> bool:
    """Whether a server of ours answers there, plainly or over TLS with whatever certificate: it is told no key."""
    plain = http.client.HTTPConnection(host, port, timeout=_PROBE_S)
    secure = http.client.HTTPSConnection(host, port, timeout=_PROBE_S, context=unjudging())
    return any(_is_healthy(connection, health_path) for connection in (plain, secure))


def _is_healthy(connection: http.client.HTTPConnection, health_path: str) -> bool:
    try:
        connection.request("GET", health_path)
        answer = connection.getresponse()
        status = json.loads(answer.read(_HEALTH_BYTES_MAX))["status"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()
    return answer.status == 200 and status in {"ok", "live"} and "x-request-id" in answer.headers


def _port(check: str, host: str, port: int, flag: str, health_path: str) -> Finding:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as err:
        # A running server is the commonest reason, and no fault of the machine.
        if err.errno == errno.EADDRINUSE and _is_sojourn(host, port, health_path):
            return Finding(check, "ok", f"{host}:{port} is taken by a running sojourn server")
        return Finding(
            check,
            "warn",
            f"{host}:{port} cannot be bound ({err.strerror})",
            f"stop its holder, or choose another with {flag}",
        )
    return Finding(check, "ok", f"{host}:{port} is free")
