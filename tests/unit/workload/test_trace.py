"""Recorded arrivals: which column is read, how they are stretched, and where faults are."""

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.trace import read_trace, replay


def write(tmp_path, text):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "0.5\n1\n2.5\n",
        "seconds,tokens\n0.5,x\n1,y\n2.5,z\n",
        "tokens,t_s\n7,0.5\n8,1\n9,2.5\n",
        "\ufefft_s\r\n0.5\r\n\r\n1\r\n2.5\r\n",
    ],
    ids=["no header", "first column", "named column", "bom, blank line, crlf"],
)
def test_times_are_read_and_counted_from_the_first(tmp_path, text):
    """The column t_s wins, else the first; the first row is the zero of the run."""
    assert list(read_trace(write(tmp_path, text))) == [0.0, 0.5, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_s\n1\nsoon\n", "row 3, column t_s: 'soon' is not a number"),
        ("1\nnan\n", "row 2, column 1: 'nan' is not a number"),
        ("a,t_s\nx,1\ny\n", "row 3, column t_s: the row has only 1 columns"),
        ("3\n2\n", "row 2, column 1: 2.0 s is before the row above"),
        ("t_s\n", "no rows"),
        ("", "no rows"),
    ],
)
def test_faults_name_row_and_column(tmp_path, text, message):
    """Whoever has to mend the file is told where to look."""
    with pytest.raises(ConfigurationError, match=message):
        read_trace(write(tmp_path, text))


def test_an_unreadable_file_is_named(tmp_path):
    """A missing file and one that is not text are configuration errors with the path."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.csv"):
        read_trace(tmp_path / "nowhere.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigurationError, match=r"binary\.csv"):
        read_trace(binary)


def test_replay_stretches_to_a_rate_and_stops_at_the_duration():
    """Half the rate takes twice the time; what lies past the end is left out."""
    assert list(replay([0, 1, 2, 4])) == [0, 1, 2, 4]
    assert list(replay([0, 1, 2, 4], rate_per_s=0.375)) == [0, 2, 4, 8]
    assert list(replay([0, 1, 2, 4], rate_per_s=0.375, duration_s=4)) == [0, 2]


@pytest.mark.parametrize(("options", "what"), [({"rate_per_s": 0}, "arrival rate"), ({"duration_s": -1}, "duration")])
def test_replay_refuses_bad_values_at_once(options, what):
    """As the generators do."""
    with pytest.raises(ConfigurationError, match=what):
        replay([0, 1], **options)
    with pytest.raises(ConfigurationError, match="all arrive at once"):
        replay([1, 1], rate_per_s=5)
