"""A certificate is checked as a client would, and what is wrong with its files is told with the way out."""

import datetime as dt
import os
import shutil
import ssl
from pathlib import Path

import pytest

from sojourn.access.certificate import Certificate
from sojourn.errors import StartError

TLS = Path(__file__).parents[2] / "tls"


@pytest.fixture
def pair(tmp_path):
    """Paths of a certificate and its key that a test may replace."""

    def put(certificate="server.pem", key="server.key"):
        for name, target in ((certificate, "cert.pem"), (key, "key.pem")):
            # As tools that renew do it: a new file takes the place of the old one.
            shutil.copyfile(TLS / name, tmp_path / "new")
            (tmp_path / "new").replace(tmp_path / target)
        return tmp_path / "cert.pem", tmp_path / "key.pem"

    return put


def test_a_good_pair_is_loaded_with_its_end_and_the_least_version(pair):
    """TLS 1.2 is the least that is spoken."""
    certificate = Certificate(*pair())
    certificate.load()
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert certificate.context.cert_store_stats()["x509"] == 0  # it asks clients for nothing
    assert dt.datetime.fromtimestamp(certificate.ends_at_s, dt.UTC).year == 2126
    assert certificate.days_left is None


def test_the_end_is_told_two_weeks_before(pair):
    """In days."""
    certificate = Certificate(*pair(), wall_clock=lambda: certificate.ends_at_s - 10 * 86_400)
    certificate.load()
    assert certificate.days_left == 10.0


@pytest.mark.parametrize(
    ("cert", "key", "told"),
    [
        ("expired.pem", "server.key", "has expired"),
        ("future.pem", "server.key", "is not valid yet"),
        ("server.pem", "other.key", "is not the key of"),
        ("server.pem", "encrypted.key", "is encrypted"),
        ("server.key", "server.key", "not a certificate and a private key"),
        ("README", "server.key", "not a certificate and a private key"),
        ("nowhere.pem", "server.key", "--tls-cert .*nowhere.pem: cannot be read"),
        ("server.pem", "nowhere.key", "--tls-key .*nowhere.key: cannot be read"),
        (".", "server.key", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_told_by_file_and_cause(cert, key, told):
    """Before any port is open; nobody is asked for a pass phrase."""
    with pytest.raises(StartError, match=told):
        Certificate(TLS / cert, TLS / key).load()


def test_files_that_were_replaced_are_taken_up_once_they_have_settled(pair):
    """One file may be replaced and the other not yet: only what two looks found the same is read."""
    certificate = Certificate(*pair())
    certificate.load()
    assert not certificate.renew()
    pair("other.pem", "server.key")
    assert not certificate.renew()
    pair("other.pem", "other.key")
    assert not certificate.renew()
    assert certificate.renew()
    assert not certificate.renew()
    assert not certificate.renew()


@pytest.mark.parametrize("files", [("other.pem", "server.key"), ("expired.pem", "server.key"), None])
def test_a_bad_renewal_is_told_once_and_changes_nothing(pair, files):
    """The certificate before it is still shown; a good one later is taken up."""
    certificate = Certificate(*pair())
    certificate.load()
    if files is None:
        certificate.key_path.unlink()
    else:
        pair(*files)
    assert not certificate.renew()
    with pytest.raises(StartError):
        certificate.renew()
    assert not certificate.renew()
    assert shown_by(certificate) == pem_bytes("server.pem")
    pair("other.pem", "other.key")
    assert not certificate.renew()
    assert certificate.renew()
    assert shown_by(certificate) == pem_bytes("other.pem")


def pem_bytes(name):
    """A certificate in binary."""
    return ssl.PEM_cert_to_DER_cert((TLS / name).read_text())


def shown_by(certificate):
    """What a client that trusts both good certificates is shown."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(outgoing, incoming), certificate.context.wrap_bio(incoming, outgoing, server_side=True)]
    for _ in range(5):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return sides[0].getpeercert(binary_form=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_key_that_may_not_be_read_is_told(pair):
    """With the system's reason."""
    cert, key = pair()
    key.chmod(0)
    with pytest.raises(StartError, match="Permission denied"):
        Certificate(cert, key).load()
