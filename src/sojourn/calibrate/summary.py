"""From samples to what a profile tells of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sojourn.calibrate.jitter import Ratio, autocorrelation, drift, quantiles, sigma
from sojourn.calibrate.line import Line, Point, fitted_line, steady_mean
from sojourn.calibrate.sample import BatchSample, Cell
from sojourn.calibrate.schedule import relative_error
from sojourn.calibrate.traffic import TrafficTransport
from sojourn.config.profile import QUANTILES, BatchTimes, ThreadProfile
from sojourn.report.statistics import quantile

Rows = dict[Cell, list[BatchSample]]


def summarized(
    samples: Sequence[BatchSample],
    *,
    threads: int,
    duration_s: float,
    memory_bytes: int | None,
    traffic: TrafficTransport | None = None,
) -> ThreadProfile:
    """What one replica showed.

    Args:
        samples: In the order they were run; at least one of concurrency 1.
        threads: Threads of its BLAS and OpenMP pools.
        duration_s: How long the measuring took, in seconds.
        memory_bytes: Memory of the replica; None if unknown.
        traffic: Transport on a server under traffic; None tells that of the bench.
    """
    rows: Rows = {}
    for sample in samples:
        rows.setdefault(sample.cell, []).append(sample)
    alone = {cell: row for cell, row in rows.items() if cell.concurrency == 1}
    service = _line(alone, lambda sample: sample.service_s)
    if traffic is None:
        transport = _line(alone, lambda sample: sample.transport_s)
    else:
        transport = Line(traffic.per_item_s, traffic.per_batch_s, None)
    decode = _line(alone, lambda sample: sample.decode_s)
    encode = _line(alone, lambda sample: sample.encode_s)
    means_s = {cell: steady_mean([sample.service_s for sample in row]) for cell, row in alone.items()}
    in_order = [sample for sample in samples if sample.cell.concurrency == 1]
    to_line = [_ratio(sample, service.at(sample.cell.size)) for sample in in_order]
    within = [_ratio(sample, means_s[sample.cell]) for sample in in_order]
    sizes = [_times(cell, rows[cell]) for cell in sorted(rows)]
    return ThreadProfile(
        threads=threads,
        alpha_s=service.alpha_s,
        beta_s=service.beta_s,
        r2=service.r2,
        misfit=max(abs(times.mean_s / service.at(times.size) - 1.0) for times in sizes if times.concurrency == 1),
        sigma=sigma(to_line),
        sigma_within=sigma(within),
        ratio_quantiles=quantiles(to_line, QUANTILES),
        autocorrelation=autocorrelation(within),
        drift=drift(within),
        duration_s=duration_s,
        overhead_s=transport.beta_s + decode.beta_s + encode.beta_s,
        overhead_per_item_s=transport.alpha_s,
        decode_per_item_s=decode.alpha_s,
        encode_per_item_s=encode.alpha_s,
        memory_bytes=memory_bytes,
        sizes=sizes,
    )


def _line(rows: Rows, value: Callable[[BatchSample], float]) -> Line:
    return fitted_line([Point(cell.size, steady_mean([value(sample) for sample in row])) for cell, row in rows.items()])


def _ratio(sample: BatchSample, expected_s: float) -> Ratio:
    return Ratio(sample.cell, sample.at_s, sample.service_s / expected_s)


def _times(cell: Cell, row: Sequence[BatchSample]) -> BatchTimes:
    durations_s = [sample.service_s for sample in row]
    ordered = sorted(durations_s)
    p50_s, p95_s, p99_s = (quantile(ordered, share) or 0.0 for share in (0.5, 0.95, 0.99))
    # Batches that ran at once are no independent samples: each round of them counts once.
    rounds = range(0, len(durations_s), cell.concurrency)
    by_round = [sum(durations_s[at : at + cell.concurrency]) / cell.concurrency for at in rounds]
    return BatchTimes(
        size=cell.size,
        concurrency=cell.concurrency,
        samples=len(row),
        mean_s=sum(ordered) / len(ordered),
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        relative_error=relative_error(by_round),
    )
