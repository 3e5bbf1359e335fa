"""Traces as CSV files: which form is recognised, what is read, and where faults are."""

from array import array

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.recorded import Counts, Instants
from sojourn.workload.trace import Trace
from sojourn.workload.trace_file import read_trace, write_trace


def write(tmp_path, text):
    path = tmp_path / "trace.csv"
    path.write_bytes(text.encode())
    return path


def counts_of(trace):
    return {name: list(recorded.counts) for name, recorded in trace.functions.items()}


@pytest.mark.parametrize(
    "text",
    [
        "0.5\n1\n2.5\n",
        "seconds,tokens\n0.5,x\n1,y\n2.5,z\n",
        "tokens,t_s\n7,0.5\n8,1\n9,2.5\n",
        "\ufefft_s\r\n0.5\r\n\r\n1\r\n2.5\r\n",
        't_s,note\n0.5,"a, b"\n1,"two\nlines"\n2.5,\n',
    ],
    ids=["no header", "first column", "named column", "bom, blank line, crlf", "quotes"],
)
def test_instants_are_read_and_counted_from_the_first(tmp_path, text):
    """The column t_s wins, else the first; the first row is the zero of the run."""
    trace = read_trace(write(tmp_path, text))
    assert list(trace.functions["all"].times_s) == [0.0, 0.5, 2.0]
    assert trace.duration_s == 3.0
    assert trace.mean_rate_per_s == 1.0


def test_instants_are_kept_by_function(tmp_path):
    """With a column `function`, wherever it stands; all count from the first row of the file."""
    trace = read_trace(write(tmp_path, "function,x,t_s\nb,0,10\na,0,11\nb,0,12\n"))
    assert {name: list(one.times_s) for name, one in trace.functions.items()} == {"b": [0, 2], "a": [1]}


@pytest.mark.parametrize(("unit", "interval_s"), [("second", 1), ("minute", 60), ("hour", 3600)])
def test_one_column_per_function(tmp_path, unit, interval_s):
    """Rows that are left out had no requests; whole numbers may carry a point."""
    trace = read_trace(write(tmp_path, f"{unit},f,g\n5,1,0\n6,2.0,3\n9,0, 4\n"))
    assert counts_of(trace) == {"f": [1, 2, 0, 0, 0], "g": [0, 3, 0, 0, 4]}
    assert trace.duration_s == 5 * interval_s
    assert {one.interval_s for one in trace.functions.values()} == {interval_s}


def test_one_row_per_function(tmp_path):
    """The wide form of Azure Functions 2019, and the short one with a stretch of minutes."""
    azure = "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,p,f,http,1,0,2\no,q,f,timer,0,5,0\no,q,g,timer,0,1,0\n"
    assert counts_of(read_trace(write(tmp_path, azure))) == {"f": [1, 0, 2], "q/f": [0, 5, 0], "g": [0, 1, 0]}
    short = read_trace(write(tmp_path, "\ufefffunc_id,trigger,480,481\r\nf,http,1,0\r\n"))
    assert counts_of(short) == {"f": [1, 0]}
    assert short.duration_s == 120


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("minute,f,g,h\n0,1,2,3\n", ["h", "f"]),
        ("func_id,1,2\nf,1,2\ng,2,3\nh,3,4\n", ["h", "f"]),
        ("t_s,function\n0,f\n1,g\n2,h\n", ["h", "f"]),
    ],
)
def test_selected_functions_alone_are_kept(tmp_path, text, names):
    """In the order asked for; an unknown one is an error with what there is."""
    assert list(read_trace(write(tmp_path, text), functions=names).functions) == names
    with pytest.raises(ConfigurationError, match="no function 'k'"):
        read_trace(write(tmp_path, text), functions=["k"])
    with pytest.raises(ConfigurationError, match="no function 'k'"):
        read_trace(write(tmp_path, text), functions=["f", "k"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t_s\n1\nsoon\n", "row 3, column t_s: 'soon' is not a number"),
        ("1\nnan\n", "row 2, column 1: 'nan' is not a number"),
        ("1\ninf\n", "row 2, column 1: 'inf' is not a number"),
        ("1\n1_0\n", "row 2, column 1: '1_0' is not a number"),
        ("a,t_s\nx,1\ny\n", "row 3, column t_s: the row has only 1 columns"),
        ("3\n2\n", "row 2, column 1: 2.0 s is before the row above"),
        ("t_s\n-1\n0\n", "row 2, column t_s: -1 s is negative"),
        ("t_s,function\n1,f\n2,\n", "row 3, column function: the name"),
        ("t_s,function\n1,f\n2\n", "row 3, column function: the name"),
        ("t_s\n", "no rows"),
        ("", "no rows"),
        (" \n\n", "no rows"),
        ("minute,f\n0,x\n", "row 2, column f: 'x' is not a count"),
        ("minute,f\n0,1.5\n", "row 2, column f: '1.5' is not a count"),
        ("minute,f\n0,-1\n", "row 2, column f: -1 is negative"),
        ("minute,f\n0,nan\n", "row 2, column f: 'nan' is not a count"),
        ("minute,f\n0,\n", "row 2, column f: '' is not a count"),
        ("minute,f\n0,5000000000\n", "row 2, column f: '5000000000' is too large"),
        ("minute,f\n0,99999999999999999999999\n", "row 2, column f: '99999999999999999999999' is too large"),
        ("minute,f\n0,1e300\n", "row 2, column f: '1e300' is too large"),
        ("minute,f,g\n0,1\n", "row 2, column g: the row has 2 columns, the header 3"),
        ("minute,f\n0,1\n1,1,1\n", "row 3, column 3: the row has 3 columns, the header 2"),
        ("minute,f\n1,1\n1,1\n", "row 3, column minute: 1 does not come after"),
        ("minute,f\n2,1\n1,1\n", "row 3, column minute: 1 does not come after"),
        ("minute,f,f\n0,1,1\n", "row 1, column 3: the function 'f' stands in the header twice"),
        ("minute,f,\n0,1,1\n", "row 1, column 3: the name of the function is missing"),
        ("minute,f\n", "no rows"),
        ("minute,f\n0,0\n1,0\n", "all counts are zero"),
        ("func_id,1,2\nf,1,2\nf,1,2\n", "row 3, column func_id: the function 'f' stands in row 2 already"),
        ("HashApp,HashFunction,1\na,f,1\na,f,1\na,f,1\n", "row 4, column HashFunction: the function 'a/f' stands"),
        ("func_id,1,2\nf,1,2\ng,1\n", "row 3, column 2: the row has 2 columns, the header 3"),
        ("func_id,1,2\nf,1,-2\n", "row 2, column 2: -2 is negative"),
        ("func_id,1,2\nf,1,1_0\n", "row 2, column 2: '1_0' is not a count"),
        ("func_id,1,2\n,1,2\n", "row 2, column func_id: the name"),
        ("func_id,1,2\n", "no rows"),
        ("t_s\n0\n\0\n", "row 3: it holds a NUL"),
    ],
)
def test_faults_name_row_and_column(tmp_path, text, message):
    """Whoever has to mend the file is told where to look."""
    with pytest.raises(ConfigurationError, match=message):
        read_trace(write(tmp_path, text))


def test_numbered_columns_with_a_gap_are_no_minutes(tmp_path):
    """A missing minute would shift all later ones: such a header is no wide trace."""
    with pytest.raises(ConfigurationError, match="'f' is not a number of seconds"):
        read_trace(write(tmp_path, "func_id,1,3\nf,1,2\n"))


@pytest.mark.parametrize(
    "text",
    ["t_s\n0\n1\n2\n3\n", "minute,f,g\n0,1,1\n1,1,1\n", "func_id,1,2\nf,1,1\ng,1,1\n", "minute,f\n0,1\n900000000,1\n"],
)
def test_what_is_kept_has_a_bound(tmp_path, text):
    """Four values do not fit into three; neither does a leap of centuries."""
    with pytest.raises(ConfigurationError, match=r"row \d: more than 3 values; select"):
        read_trace(write(tmp_path, text), values_max=3)


def test_an_unreadable_file_is_named(tmp_path):
    """A missing file, a directory and one that is not text are configuration errors with the path."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.csv"):
        read_trace(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_trace(tmp_path)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigurationError, match=r"binary\.csv"):
        read_trace(binary)


@pytest.mark.parametrize("text", ["second,f,g\n0,1,0\n1,2,3\n", "t_s,function\n0,f\n0.25,g\n1.5,f\n"])
def test_what_is_written_reads_the_same(tmp_path, text):
    """Counts and instants, with their functions."""
    trace = read_trace(write(tmp_path, text))
    write_trace(trace, tmp_path / "again.csv")
    again = read_trace(tmp_path / "again.csv")
    assert again.functions == trace.functions
    assert again.duration_s == trace.duration_s


def test_what_cannot_be_written_is_refused(tmp_path):
    """Odd intervals, a mix, a place that does not exist."""
    counts, instants = Counts(array("I", [1]), 7.0), Instants(array("d", [0.0]))
    with pytest.raises(ConfigurationError, match="per second, minute or hour"):
        write_trace(Trace({"f": counts}, 7), tmp_path / "x.csv")
    with pytest.raises(ConfigurationError, match="alike for all"):
        write_trace(Trace({"f": counts.slower(60 / 7), "g": instants}, 60), tmp_path / "x.csv")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_trace(Trace({"g": instants}, 7), tmp_path / "nowhere" / "x.csv")
