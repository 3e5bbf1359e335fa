"""`slo` and `trace` against a real server: what people and programs read, and exit codes."""

from __future__ import annotations

import json
import re
import resource
import urllib.request
from pathlib import Path

import pytest

from sojourn.cli.slo_import import _write_whole

GOOD = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout-latency}
spec:
  service: checkout
  indicator: {spec: {thresholdMetric: {metricSource: {type: Prometheus, spec: {query: latency}}}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{op: lte, value: 0.25, target: 0.99}]
"""


def id_of_call(urls, body):
    """The id under which a call of `double` is known."""
    request = urllib.request.Request(f"{urls[0]}/functions/double", data=body)  # noqa: S310 (ours)
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 (as above)
            return answer.headers["x-request-id"]
    except urllib.error.HTTPError as err:
        return err.headers["x-request-id"]


def is_kept(urls, request_id):
    """Whether the server still knows the request: good ones are kept only now and then."""
    try:
        with urllib.request.urlopen(f"{urls[1]}/api/v1/requests/{request_id}"):  # noqa: S310 (as above)
            return True
    except urllib.error.HTTPError:
        return False


@pytest.fixture(scope="module")
def called(urls):
    """The server after a good request that is kept and a failed one of `double`; their ids."""
    good = next(one for one in (id_of_call(urls, b"4") for _ in range(10_000)) if is_kept(urls, one))
    return good, id_of_call(urls, b"13")


def test_slo_show_tells_all_functions(sojourn, urls, called):
    """A row each; one objective is missed, so the exit code is 3."""
    done = sojourn("slo", "show", "--admin-url", urls[1])
    assert done.returncode == 3
    lines = done.stdout.decode().splitlines()
    assert re.match(r"double +99% < 500ms +\d+\.?\d* % +", lines[1])
    assert re.match(r"echo +none +- +- ", lines[2])
    told = json.loads(sojourn("slo", "show", "--json", "--admin-url", urls[1]).stdout)
    assert [one["function"] for one in told["functions"]] == ["double", "echo"]


def test_slo_show_of_one_function_tells_why(sojourn, urls, called, tmp_path):
    """Verdict, budget, windows and causes; with --html a report beside it."""
    report = tmp_path / "slo.html"
    done = sojourn("slo", "show", "double", "--html", str(report), "--admin-url", urls[1])
    said = done.stdout.decode()
    assert done.returncode == 3
    for wanted in ("missed:", "budget ", "30 d", "of bad requests failed in the function", f"report: {report}"):
        assert wanted in said
    assert "<svg" in report.read_text()
    assert sojourn("slo", "show", "echo", "--admin-url", urls[1]).returncode == 0, "nothing promised, nothing missed"


def test_trace_draws_the_request(sojourn, urls, called):
    """The failed one: its bar of phases, its sentences and its cause; the list holds both."""
    good, bad = called
    said = sojourn("trace", bad, "--admin-url", urls[1]).stdout.decode()
    assert f"request {bad}" in said
    assert re.search(r"^service +[█#]", said, re.MULTILINE)
    assert "counted as bad because of: function error" in said
    listed = sojourn("trace", "--admin-url", urls[1]).stdout.decode()
    assert good in listed
    assert bad in listed
    only = json.loads(sojourn("trace", "--kind", "failed", "--json", "--admin-url", urls[1]).stdout)["requests"]
    assert only[0]["request_id"] == bad
    assert {one["kind"] for one in only} == {"failed"}
    whole = json.loads(sojourn("trace", good, "--json", "--admin-url", urls[1]).stdout)
    assert whole["kind"] == "sample"


def test_a_request_nobody_kept_is_told(sojourn, urls):
    """With what is kept and where to look."""
    done = sojourn("trace", "never/seen", "--admin-url", urls[1])
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"/api/v1/requests lists them" in done.stderr


def test_requests_of_a_function_that_is_not_there_are_an_error(sojourn, urls):
    """As everywhere: with the names of those that are."""
    done = sojourn("trace", "--function", "nope", "--admin-url", urls[1])
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"double" in done.stderr


def test_export_and_import_meet(sojourn, urls, tmp_path):
    """What is exported as OpenSLO is imported as the table the server reads; rules come out as YAML."""
    path = tmp_path / "o.yaml"
    done = sojourn("slo", "export", "--format", "openslo", "-o", str(path), "--admin-url", urls[1])
    assert done.stdout.decode() == f"written: {path}\n"
    done = sojourn("slo", "import", str(path))
    assert (done.stdout.decode(), done.stderr) == ('[slo]\ndouble = "99% < 500ms"\n', b"")
    assert b"slo:sli_error:ratio_rate5m" in sojourn("slo", "export", "double", "--admin-url", urls[1]).stdout
    done = sojourn("slo", "export", "nobody", "--admin-url", urls[1])
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"functions with one: double" in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", b"not UTF-8"), (b"kind: SLO", b":1: apiVersion must be"), (None, b"cannot be read")],
)
def test_files_that_cannot_be_imported_are_told(sojourn, tmp_path, content, said):
    """One message, no traceback."""
    path = tmp_path / "o.yaml"
    if content is not None:
        path.write_bytes(content)
    done = sojourn("slo", "import", str(path))
    assert done.returncode == 1
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_import_into_a_file_that_is_no_text_is_told(sojourn, tmp_path, monkeypatch):
    """Nothing is written over."""
    (tmp_path / "o.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    Path("sojourn.toml").write_bytes(b"port = 1 # \xff\n")
    done = sojourn("slo", "import", str(tmp_path / "o.yaml"), "--write")
    assert done.returncode == 1
    assert b"sojourn.toml: not UTF-8 text" in done.stderr
    assert Path("sojourn.toml").read_bytes() == b"port = 1 # \xff\n"


def test_import_writes_through_a_link_and_keeps_mode_and_line_ends(sojourn, tmp_path, monkeypatch):
    """The file is the one that is there, with its permissions, and nothing is left beside it."""
    (tmp_path / "o.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    real = tmp_path / "real.toml"
    real.write_bytes(b"port = 9000\r\n")
    real.chmod(0o640)
    Path("sojourn.toml").symlink_to(real)
    assert sojourn("slo", "import", str(tmp_path / "o.yaml"), "--write").returncode == 0
    assert real.read_bytes() == b'port = 9000\r\n\r\n[slo]\r\ncheckout = "99% < 250ms"\r\n'
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.yaml", "real.toml", "sojourn.toml"]


def test_a_full_disk_leaves_the_settings_as_they_were(tmp_path):
    """The new file is written beside the old one and takes its place only when it is whole."""
    path = tmp_path / "sojourn.toml"
    path.write_text("port = 9000\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            _write_whole(path, b"port = 9000\n[slo]\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "port = 9000\n"
    assert list(tmp_path.iterdir()) == [path]
