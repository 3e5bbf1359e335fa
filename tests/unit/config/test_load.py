"""Settings: which source wins, and that all faults are told at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sojourn.config.load import default_state_dir, is_loopback, load_settings, unknown_variables
from sojourn.config.settings import SETTINGS, ServerSettings, flag_of, variable_of
from sojourn.errors import ConfigurationError
from sojourn.gateway.limits import Limits

HOME = {"HOME": "/home/someone"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 (read, never bound)


def faults_of(*args, **kwargs):
    """The fault lines of settings that cannot be used."""
    with pytest.raises(ConfigurationError) as told:
        load_settings(*args, **kwargs)
    return [line.strip() for line in str(told.value).splitlines()[1:]]


def test_defaults_without_any_source(tmp_path):
    """Loopback, the documented ports, state under the home directory."""
    settings = load_settings({}, HOME, directory=tmp_path)
    assert (settings.host, settings.port, settings.admin_port) == ("127.0.0.1", 8080, 8081)
    assert settings.state_dir == Path("/home/someone/.local/state/sojourn/8080")


def test_flags_before_environment_before_file_before_defaults(tmp_path):
    """Each source overrides the one after it, setting by setting."""
    (tmp_path / "sojourn.toml").write_text('port = 1\nadmin_port = 2\ndrain_s = 3\nqueue_bytes = "1MiB"\n')
    environment = {**HOME, "SOJOURN_PORT": "11", "SOJOURN_ADMIN_PORT": "12"}
    settings = load_settings({"port": "21", "admin_port": None}, environment, directory=tmp_path)
    assert (settings.port, settings.admin_port, settings.drain_s, settings.queue_bytes) == (21, 12, 3.0, 1024**2)
    assert settings.log_format == "text"


def test_all_faults_of_all_sources_are_told_at_once_with_their_places(tmp_path):
    """One run names every mistake: file and line, environment variable, flag."""
    (tmp_path / "sojourn.toml").write_text('# mine\n\nprot = 1\n"drain_s" = "soon"\n[server]\nport = 1\n')
    environment = {"SOJOURN_QUEUE_BYTES": "lots", "SOJOURN_LOG_FORMATS": "json"}
    faults = faults_of({"port": "70000", "log_format": "yaml"}, environment, directory=tmp_path)
    assert {fault.partition(": ")[0] for fault in faults} == {
        "sojourn.toml:3 prot",
        "sojourn.toml:4 drain_s",
        "sojourn.toml:5 server",
        "environment SOJOURN_LOG_FORMATS",
        "environment SOJOURN_QUEUE_BYTES",
        "--port",
        "--log-format",
    }
    text = "\n".join(faults)
    assert "did you mean port?" in text
    assert "did you mean SOJOURN_LOG_FORMAT?" in text
    assert "must be in [0, 65535], not '70000'" in text
    assert "must be one of text, json, not 'yaml'" in text


def test_a_fault_counts_even_where_a_stronger_source_overrides_it(tmp_path):
    """A broken file is not hidden by a flag; it would bite the day the flag is dropped."""
    (tmp_path / "sojourn.toml").write_text("port = -1\n")
    assert len(faults_of({"port": "8000"}, HOME, directory=tmp_path)) == 1


def test_foreign_variables_with_our_prefix_are_left_alone(tmp_path):
    """An orchestrator's variables for a service called sojourn do not stop the server."""
    environment = {**HOME, "SOJOURN_SERVICE_HOST": "10.0.0.1", "SOJOURN_ADMIN_URL": "http://127.0.0.1:1"}
    assert load_settings({}, environment, directory=tmp_path).host == "127.0.0.1"


def test_a_named_file_must_exist_and_be_toml(tmp_path):
    """`--config` with a typing error is not silently ignored; a syntax error names its line."""
    missing = tmp_path / "missing.toml"
    assert faults_of({}, HOME, config=missing)[0].startswith(f"{missing}: cannot be read")
    broken = tmp_path / "broken.toml"
    broken.write_text("port = 1\nhost = \n")
    assert "line 2" in faults_of({}, HOME, config=broken)[0]
    broken.write_bytes(b"host = '\xff'")
    assert "not valid TOML" in faults_of({}, HOME, config=broken)[0]


@pytest.mark.parametrize("name", ["tls_cert", "tls_key"])
def test_a_certificate_and_its_key_come_together(tmp_path, name):
    """One alone is told before anything is read."""
    (fault,) = faults_of({name: "a.pem"}, HOME, directory=tmp_path)
    assert fault.startswith(flag_of(name))
    settings = load_settings({"tls_cert": "a.pem", "tls_key": "b.pem"}, HOME, directory=tmp_path)
    assert (settings.tls_cert, settings.tls_key) == ("a.pem", "b.pem")


def test_both_ports_must_differ_unless_any_is_taken(tmp_path):
    """The same port twice is told before anything is bound; 0 twice is fine."""
    assert len(faults_of({"port": "8081"}, HOME, directory=tmp_path)) == 1
    assert load_settings({"port": "0", "admin_port": "0"}, HOME, directory=tmp_path).port == 0


def test_state_directory_follows_xdg_and_the_port():
    """Two servers on two ports do not meet; a relative XDG path is ignored, as its standard demands."""
    assert default_state_dir({"XDG_STATE_HOME": "/state"}, 9000) == Path("/state/sojourn/9000")
    assert default_state_dir({"XDG_STATE_HOME": "state", **HOME}, 9000) == Path(
        "/home/someone/.local/state/sojourn/9000"
    )
    assert default_state_dir({"XDG_STATE_HOME": "/state"}, 0).name.startswith("any-")


def test_chosen_state_directory_knows_the_home(tmp_path, monkeypatch):
    """`~` is the home directory wherever the path comes from."""
    monkeypatch.setenv("HOME", "/home/someone")
    settings = load_settings({}, {"SOJOURN_STATE_DIR": "~/state"}, directory=tmp_path)
    assert settings.state_dir == Path("/home/someone/state")


@pytest.mark.parametrize(
    ("host", "answer"),
    [("localhost", True), ("127.8.9.1", True), ("::1", True), (EVERYWHERE, False), ("::", False), ("db", False)],
)
def test_loopback(host, answer):
    """Only what certainly stays on this machine counts as loopback."""
    assert is_loopback(host) is answer


def test_every_setting_is_described_and_every_default_passes_its_own_check():
    """The table and the settings object name the same things, and defaults are within bounds."""
    assert set(SETTINGS) | {"objectives"} == set(ServerSettings.__struct_fields__)
    defaults = msgspec.structs.asdict(ServerSettings(state_dir=Path("state")))
    for name, setting in SETTINGS.items():
        if name != "state_dir" and defaults[name] is not None:  # None: as the machine has it
            assert setting.value_of(defaults[name]) == defaults[name], name
    assert len({flag_of(name) for name in SETTINGS}) == len({variable_of(name) for name in SETTINGS}) == len(SETTINGS)


def test_limits_of_the_inference_port_are_settings_with_the_same_defaults():
    """Every bound a client can run into can be set (the sweep is how exactly deadlines are kept, no bound)."""
    settings = msgspec.structs.asdict(ServerSettings(state_dir=Path("state")))
    limits = msgspec.structs.asdict(Limits())
    assert set(limits) - set(settings) == {"sweep_s"}
    assert {name: settings[name] for name in limits if name in settings} == {
        name: value for name, value in limits.items() if name in settings
    }


def test_settings_cannot_be_changed():
    """They are read once; whoever holds them holds the same."""
    settings = ServerSettings(state_dir=Path("state"))
    with pytest.raises(AttributeError):
        settings.port = 1


def test_variables_nobody_reads_are_known(tmp_path):
    """Neither settings nor the commands' own nor those of functions are among them."""
    names = ("SOJOURN_BANANA", "SOJOURN_SERVICE_HOST", "SOJOURN_PORT", "SOJOURN_URL", "SOJOURN_FN_MODEL", "PATH")
    assert unknown_variables(dict.fromkeys(names, "")) == ["SOJOURN_BANANA", "SOJOURN_SERVICE_HOST"]
    assert load_settings({}, {**HOME, "SOJOURN_FN_PORT": "x"}, directory=tmp_path).port == 8080


def test_a_body_must_fit_into_what_all_bodies_may_take(tmp_path):
    """Told with both flags, before anything is bound."""
    (fault,) = faults_of({"inflight_body_bytes": "1MiB"}, HOME, directory=tmp_path)
    assert "--inflight-body-bytes" in fault
    assert "--body-bytes" in fault
    assert load_settings({"inflight_body_bytes": "1MiB", "body_bytes": "1MiB"}, HOME, directory=tmp_path)
