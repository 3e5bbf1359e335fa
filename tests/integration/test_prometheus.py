"""A real Prometheus scrapes a real server: what it answers agrees with what the server counted and with a sort."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Server, wait_until

TOOLS = Path(__file__).parents[2] / ".tools" / "prometheus" / "usr" / "bin"
pytestmark = pytest.mark.skipif(
    not (TOOLS / "promtool").exists(), reason="Prometheus could not be installed (scripts/install_prometheus.sh)"
)

APP = '''
"""Sleeps as long as the item says."""
import time
import sojourn

@sojourn.function(slo="90% < 60ms over 1h", max_batch_size=1, min_replicas=1, overload="late", timeout_s=30)
def naps(items: list[float]) -> list[float]:
    time.sleep(items[0])
    return items
'''
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def promtool(*arguments, text=None):
    """What promtool says; it must be content."""
    done = subprocess.run(
        [str(TOOLS / "promtool"), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def exported(server, form="prometheus"):
    """What `sojourn slo export` writes of a server."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sojourn.cli.main",
            "slo",
            "export",
            "--format",
            form,
            "--admin-url",
            server.admin.geturl(),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Prometheus:
    """A Prometheus of our own on a free port, that scrapes one server each second; stopped by its own pid."""

    def __init__(self, directory, server, rules):
        self.directory = directory
        (directory / "rules.yml").write_text(rules)
        (directory / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            "rule_files: [rules.yml]\n"
            "scrape_configs:\n"
            f"  - {{job_name: sojourn, static_configs: [{{targets: ['{server.admin.netloc}']}}]}}\n"
        )

    def __enter__(self):
        self.log = (self.directory / "prometheus.log").open("w+")
        self.process = subprocess.Popen(
            [
                str(TOOLS / "prometheus"),
                f"--config.file={self.directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.directory / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                "--enable-feature=exemplar-storage",
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: self._find_port() and self._is_ready(), "Prometheus to be ready")
        return self

    def _find_port(self):
        """Port 0 is not told in the log: the kernel knows which socket the process listens on."""
        assert self.process.poll() is None, (self.directory / "prometheus.log").read_text()
        inodes = set()
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                found = re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink()))
            except OSError:
                continue
            if found:
                inodes.add(found[1])
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                self.url = f"http://127.0.0.1:{int(fields[1].rpartition(':')[2], 16)}"
                return True
        return False

    def _is_ready(self):
        """It listens before it answers queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE_S):  # noqa: S310 (ours)
                return True
        except OSError:  # refused, or 503 until it has read its data
            return False

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def get(self, path, **query):
        """The data of an answer of its API."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 (ours)
            return json.load(answer)["data"]

    def value(self, query):
        """The one value of a query; None if there is none yet."""
        result = self.get("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None


def test_the_round_trip_through_a_real_prometheus(tmp_path):
    """p99 within its bucket and attainment exact; the exported rules run and agree; exemplars arrive."""
    naps_s = [0.0] * 60 + [0.12] * 12
    with Server(tmp_path, APP) as server, ThreadPoolExecutor(1) as one_by_one:
        rules = exported(server)
        assert "SUCCESS" in promtool("check", "rules", str(_written(tmp_path / "check.yml", rules)))
        with Prometheus(tmp_path, server, rules) as prometheus:
            wait_until(lambda: prometheus.value("sojourn_slo_objective_ratio"), "the first scrape")
            for nap_s in naps_s:
                answer = one_by_one.submit(server.call, "naps", nap_s, traceparent=PARENT).result()
                assert answer.status == 200
            status = server.ask("/api/v1/functions/naps/slo").body
            assert status["total"] == len(naps_s)
            wait_until(
                lambda: prometheus.value("sum(sojourn_slo_events_total)") == len(naps_s), "all requests to be scraped"
            )
            attainment = prometheus.value("sum(sojourn_slo_good_total) / sum(sojourn_slo_events_total)")
            assert attainment == status["good"] / status["total"]
            # The objective is an edge: the share below it can be read from the buckets, too.
            from_buckets = (
                'sum(sojourn_request_duration_seconds_bucket{le="0.06"}) / sum(sojourn_request_duration_seconds_count)'
            )
            assert prometheus.value(from_buckets) == attainment
            p99_s = prometheus.value("histogram_quantile(0.99, sum by (le) (sojourn_request_duration_seconds_bucket))")
            slow = server.ask("/api/v1/requests?kind=slow").body["requests"]
            exact_s = max(one["latency_s"] for one in slow)  # all slow ones are kept: rank 72 of 72
            assert _edge_below(server, exact_s) <= p99_s <= _edge_above(server, exact_s)
            fine_s = prometheus.value('sojourn_request_duration_quantile_seconds{p="0.99"}')
            assert fine_s == pytest.approx(exact_s, rel=0.011)
            remaining = prometheus.value("sojourn_error_budget_remaining_ratio")
            assert remaining == pytest.approx(status["budget"]["remaining_ratio"])
            assert prometheus.value('sojourn_burn_rate{window="1h"}') == pytest.approx(
                status["windows"][-1]["burn_rate"]
            )
            wait_until(lambda: prometheus.value("slo:objective:ratio") == 0.9, "the rules to run")
            # Evaluated each second, perhaps before the last scrape; and increase() extrapolates a little.
            error_ratio = "slo:sli_error:ratio_rate1h"
            wait_until(lambda: _is_near(prometheus.value(error_ratio), 1 - attainment), "the rules to see all requests")
            burnt = "slo:period_error_budget_remaining:ratio"
            wait_until(
                lambda: _is_near(prometheus.value(burnt), 1 - (1 - attainment) / 0.1, 0.3), "the budget to follow"
            )
            rules_seen = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
            assert {rule["health"] for rule in rules_seen} == {"ok"}
            found = prometheus.get(
                "query_exemplars", query="sojourn_request_duration_seconds_bucket", start="0", end="4000000000"
            )
            assert {one["labels"]["trace_id"] for series in found for one in series["exemplars"]} == {PARENT[3:35]}


def test_the_page_is_what_promtool_expects(tmp_path):
    """Names, types and help of all families, after some traffic."""
    with Server(tmp_path, APP) as server:
        assert server.call("naps", 0.0).status == 200
        promtool("check", "metrics", text=server.ask("/metrics").body.decode())


def _is_near(value, wanted, tolerance=0.03):
    return value is not None and abs(value - wanted) <= tolerance


def _written(path, text):
    path.write_text(text)
    return path


def _edges(server):
    page = server.ask("/metrics").body.decode()
    edges = re.findall(r'sojourn_request_duration_seconds_bucket\{[^}]*le="([^"]+)"', page)
    assert "0.06" in edges
    return sorted(math.inf if edge == "+Inf" else float(edge) for edge in edges)


def _edge_below(server, value_s):
    return max((edge for edge in _edges(server) if edge < value_s), default=0.0)


def _edge_above(server, value_s):
    return min(edge for edge in _edges(server) if edge >= value_s)
