"""From the options of a simulated run to its scenario: functions, service times, traffic, pool."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf
from random import Random
from typing import Any, Final

import click
import msgspec

from sojourn.cli.fixed_pool import with_room
from sojourn.cli.simulate_options import Asked
from sojourn.config.profile import Profile
from sojourn.config.profile_file import read_profile
from sojourn.core.pool import refuse_impossible
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.domain.policy import FixedReplicas
from sojourn.domain.resources import Resources
from sojourn.errors import ConfigurationError
from sojourn.report.axis import duration_text
from sojourn.sim.from_profile import service_of, settings_of
from sojourn.sim.replica import ModelledService
from sojourn.sim.scenario import Scenario, SimulatedFunction, Traffic, streams_of
from sojourn.workload.trace_file import ONLY_FUNCTION

MODEL_NAME: Final = "model"
_DURATION_S: Final = 60.0
_GPUS_UNBOUNDED: Final = 1024.0
_NAMES_SHOWN: Final = 8
_MEMORY_UNBOUNDED: Final = 2**63 - 1


class Composed(msgspec.Struct, frozen=True):
    """A scenario, and what its user should be told of how it came about."""

    scenario: Scenario
    remarks: tuple[str, ...] = ()


class _Part(msgspec.Struct, frozen=True):
    settings: FunctionSettings
    service: ModelledService

    @property
    def alone_s(self) -> float:
        """Mean time a batch of one item takes [s]."""
        return self.service.mean_s(1) + self.service.overhead_s


def scenario_of(asked: Asked, manifests: Sequence[FunctionManifest] = ()) -> Composed:
    """The scenario that was asked for.

    Args:
        asked: The options.
        manifests: What the target declares; none without a target.

    Raises:
        click.UsageError: Options do not go together, or something is missing; all that was found in one message.
        ConfigurationError: A profile or an option of a function is wrong.
    """
    _refuse_contradictions(asked)
    profiles = _profiles(asked)
    remarks: list[str] = []
    chosen = _chosen(asked, manifests, profiles)
    parts = _with_services(asked, chosen, profiles, remarks)
    if asked.model is not None and profiles:
        remarks.append(f"service times of {_some(list(profiles))} are those of the profile, not of --model")
    remarks += [
        f"{part.settings.name}: calls at once (concurrency={part.settings.concurrency}) are not modelled; each replica runs "
        "one batch at a time"
        for part in parts
        if part.settings.concurrency > 1
    ]
    remarks += [
        f"{part.settings.name}: one item alone takes {duration_text(part.alone_s)} on the mean, and the objective is "
        f"{part.settings.slo}: it cannot be met; relax it, or make one call faster"
        for part in parts
        if part.settings.slo is not None and part.alone_s > part.settings.slo.latency_s
    ]
    if asked.cold_start is None and any(_starts_at_once(part) for part in parts):
        remarks.append("cold starts take no time here; say how long they do, such as --cold-start 2s")
    functions, length_s = _with_traffic(asked, parts, remarks)
    if asked.sizes is not None:
        remarks.append(f"items are unequal: {asked.sizes.text}")
        functions = tuple(
            msgspec.structs.replace(each, traffic=msgspec.structs.replace(each.traffic, sizes=asked.sizes))
            for each in functions
        )
    duration_s = asked.duration or length_s or _DURATION_S
    capacity, machines = _pool(asked, functions)
    if asked.transient >= duration_s:
        raise click.UsageError(f"--transient {asked.transient:g} s must be shorter than the run of {duration_s:g} s")
    try:
        refuse_impossible([each.settings for each in functions], capacity)
    except ConfigurationError as err:
        raise click.UsageError(
            str(err).replace("the server has", "the pool has").replace("serve with", "take")
        ) from err
    scenario = Scenario(
        functions=functions,
        duration_s=duration_s,
        transient_s=asked.transient,
        seed=asked.seed,
        capacity=capacity,
        machines=machines,
    )
    return Composed(scenario, tuple(remarks))


def _refuse_contradictions(asked: Asked) -> None:
    faults = []
    if asked.replicas is not None and asked.scaling is not None:
        faults.append("--replicas N is short for --scaling fixed:replicas=N: give one of them")
    if asked.machines is not None and asked.cpus_per_machine is None:
        faults.append("--machines: say what each has, such as --cpus-per-machine 8")
    if asked.machines is None and (asked.cpus_per_machine is not None or asked.gpus_per_machine is not None):
        faults.append("--cpus-per-machine and --gpus-per-machine need --machines N")
    if asked.machines is not None and (asked.cpus is not None or asked.gpus is not None):
        faults.append("the pool is --cpus (and --gpus) or --machines, not both")
    if asked.threads is not None and not asked.profile:
        faults.append("--threads picks figures of a profile: give --profile FILE, too")
    if asked.function and asked.target is None:
        faults.append("--function picks functions of a TARGET, and none is given")
    if asked.arrivals.trace is not None and asked.rate.by_name:
        faults.append("a trace has a rate of all its functions together: --rate PER_SECOND, without a name")
    if faults:
        raise click.UsageError("; ".join(faults))


def _profiles(asked: Asked) -> dict[str, Profile]:
    profiles: dict[str, Profile] = {}
    for path in asked.profile:
        profile = read_profile(path)
        if profile.name in profiles:
            raise click.UsageError(f"--profile {path}: there is another profile of {profile.name!r} before it")
        profiles[profile.name] = profile
    return profiles


# ---- functions and their service times


def _chosen(
    asked: Asked, manifests: Sequence[FunctionManifest], profiles: Mapping[str, Profile]
) -> list[FunctionSettings]:
    """The functions of the run, with what the options change of them."""
    if manifests:
        by_name = {manifest.name: manifest.settings for manifest in manifests}
        if unknown := [name for name in asked.function if name not in by_name]:
            raise click.UsageError(
                f"--function {', '.join(unknown)}: not in {asked.target}, which has {', '.join(sorted(by_name))}"
            )
        chosen = [by_name[name] for name in (asked.function or by_name)]
    elif profiles:
        chosen = [settings_of(profile) for profile in profiles.values()]
    elif asked.model is not None:
        chosen = [FunctionSettings(name=MODEL_NAME)]
    else:
        raise click.UsageError(
            "nothing to simulate: give service times, --model ALPHA,BETA[,SIGMA] in seconds or --profile FILE "
            "(measure one with `sojourn profile app.py`), and perhaps the file or module with the function"
        )
    return [_changed(settings, asked) for settings in chosen]


def _changed(settings: FunctionSettings, asked: Asked) -> FunctionSettings:
    changes: dict[str, Any] = {
        name: getattr(asked, name)
        for name in ("slo", "max_batch_size", "batching", "scaling", "keepalive", "min_replicas", "max_replicas")
        if getattr(asked, name) is not None
    }
    if asked.replicas is not None:
        changes["scaling"] = FixedReplicas(replicas=asked.replicas)
    if asked.slo is not None and settings.timeout_s is not None and settings.timeout_s < asked.slo.latency_s:
        changes["timeout_s"] = None
    changed = msgspec.structs.replace(settings, **changes)
    return changed if asked.max_replicas is not None else with_room(changed)


def _with_services(
    asked: Asked, chosen: Sequence[FunctionSettings], profiles: Mapping[str, Profile], remarks: list[str]
) -> list[_Part]:
    parts, missing = [], []
    lone = next(iter(profiles.values())) if len(profiles) == len(chosen) == 1 else None
    for settings in chosen:
        profile = profiles.get(settings.name) or lone
        if profile is not None:
            if profile.name != settings.name:
                remarks.append(f"the profile is that of {profile.name!r}; its times are taken for {settings.name!r}")
            service = service_of(profile, threads=asked.threads, largest=settings.largest_batch)
        elif asked.model is not None:
            service = asked.model
        else:
            missing.append(settings.name)
            continue
        if asked.cold_start is not None:
            service = msgspec.structs.replace(service, cold_start_s=asked.cold_start, start_phases=None)
        parts.append(_Part(settings, service))
    if missing:
        measured = ", ".join(f"sojourn profile {asked.target}:{name}" for name in missing[:3])
        raise click.UsageError(
            f"no service times for {', '.join(missing)}: measure them ({measured}) and give --profile FILE, or state them "
            "for all functions, --model ALPHA,BETA[,SIGMA] in seconds"
        )
    return parts


def _starts_at_once(part: _Part) -> bool:
    return part.service.start_phases is None and not part.service.cold_start_s


# ---- traffic


def _with_traffic(
    asked: Asked, parts: Sequence[_Part], remarks: list[str]
) -> tuple[tuple[SimulatedFunction, ...], float | None]:
    """The functions with their arrivals, and the length of a trace in seconds."""
    if asked.arrivals.trace is None:
        return _generated(asked, parts), None
    streams, length_s = streams_of(asked.arrivals, asked.rate.each_per_s, _rng(asked))
    if len(streams) == 1 and len(parts) == 1:
        return (_simulated(parts[0], next(iter(streams.values()))),), length_s
    if len(parts) == 1 and ONLY_FUNCTION not in streams:
        named = _named(streams)
        only = parts[0]
        return tuple(
            _simulated(_Part(msgspec.structs.replace(only.settings, name=name), only.service), traffic)
            for name, traffic in named.items()
        ), length_s
    return _matched(parts, _named(streams), remarks), length_s


def _generated(asked: Asked, parts: Sequence[_Part]) -> tuple[SimulatedFunction, ...]:
    names = [part.settings.name for part in parts]
    if unknown := [name for name in asked.rate.by_name if name not in names]:
        raise click.UsageError(f"--rate {unknown[0]}=...: the run has no such function, only {', '.join(names)}")
    unrated = [name for name in names if asked.rate.of(name) is None] if asked.arrivals.needs_rate else []
    if unrated:
        of = "" if len(names) == 1 else f" (of {', '.join(unrated)})"
        raise click.UsageError(f"say how much traffic there is{of}: --rate 200 (requests per second)")
    return tuple(_simulated(part, Traffic(asked.arrivals, asked.rate.of(part.settings.name))) for part in parts)


def _matched(
    parts: Sequence[_Part], streams: Mapping[str, Traffic], remarks: list[str]
) -> tuple[SimulatedFunction, ...]:
    """Several functions and a trace: those of the same name belong together."""
    together = [_simulated(part, streams[part.settings.name]) for part in parts if part.settings.name in streams]
    names = [part.settings.name for part in parts]
    if not together:
        raise click.UsageError(
            f"no function of the trace ({_some(list(streams))}) is called like one of the run's ({_some(names)}); "
            "pick one with --function NAME, or rename the trace's"
        )
    idle = [name for name in names if name not in streams]
    unserved = [name for name in streams if name not in names]
    if idle:
        remarks.append(f"left out, because the trace has no requests for them: {_some(idle)}")
    if unserved:
        remarks.append(f"functions of the trace left out, because none here is called so: {_some(unserved)}")
    return tuple(together)


def _named(streams: Mapping[str, Traffic]) -> dict[str, Traffic]:
    """Streams under names that functions may have; those of a trace may be of any kind."""
    named: dict[str, Traffic] = {}
    for number, (name, traffic) in enumerate(streams.items(), start=1):
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:56].strip("-") or "function"
        named[plain if plain not in named else f"{plain}-{number}"] = traffic
    return named


def _simulated(part: _Part, traffic: Traffic) -> SimulatedFunction:
    return SimulatedFunction(settings=part.settings, service=part.service, traffic=traffic)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


# ---- the pool


def _pool(asked: Asked, functions: Sequence[SimulatedFunction]) -> tuple[Resources, tuple[Resources, ...]]:
    """What replicas share, and the machines they are placed on."""
    claims_gpus = any(each.settings.gpus for each in functions)
    if asked.machines is not None:
        each = Resources(
            asked.cpus_per_machine or inf,
            asked.gpus_per_machine or (_GPUS_UNBOUNDED // asked.machines if claims_gpus else 0.0),
            _MEMORY_UNBOUNDED // asked.machines,
        )
        machines = (each,) * asked.machines
        return Resources(each.cpus * asked.machines, each.gpus * asked.machines, _MEMORY_UNBOUNDED), machines
    pool = Resources(asked.cpus or inf, asked.gpus or (_GPUS_UNBOUNDED if claims_gpus else 0.0), _MEMORY_UNBOUNDED)
    # Starts that were measured by phase pay their import once: all replicas stand on one machine.
    has_phases = any(each.service.start_phases is not None for each in functions)
    return pool, (pool,) if has_phases else ()


def _rng(asked: Asked) -> Random:
    return Random(f"{asked.seed} trace")  # noqa: S311 - repeatable, not secret
