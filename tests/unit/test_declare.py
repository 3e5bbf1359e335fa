"""The decorator users write, and ItemError."""

import subprocess
import sys

import pytest

import sojourn
from sojourn.declare import Declaration, kebab_case
from sojourn.domain.policy import NoBatching, SLOBatching
from sojourn.errors import ConfigurationError


def lambda_free(items):
    """A function to declare again and again."""
    return items


def test_a_declared_class_stays_directly_testable():
    """The decorator returns the very class, which can be built and called as before."""

    class Plain:
        def __call__(self, items):
            return [item + 1 for item in items]

    declared = sojourn.function(slo="99% < 100ms", max_batch_size=64)(Plain)
    assert declared is Plain
    assert declared()([1, 2]) == [2, 3]
    settings = declared.__sojourn__.settings
    assert (settings.name, settings.max_batch_size, settings.slo.latency_s) == ("plain", 64, 0.1)


def test_parentheses_are_optional():
    """Both spellings declare with default options."""

    @sojourn.function
    def embed_text(items):
        return items

    @sojourn.function()
    def other(items):
        return items

    assert embed_text([1]) == [1]
    assert isinstance(embed_text.__sojourn__, Declaration)
    assert (embed_text.__sojourn__.settings.name, other.__sojourn__.settings.name) == ("embed-text", "other")
    assert embed_text.__sojourn__.settings.batching == SLOBatching()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DigitsModel", "digits-model"),
        ("embed_text", "embed-text"),
        ("HTTPServer", "http-server"),
        ("Resnet50", "resnet50"),
        ("_private", "private"),
        ("lower", "lower"),
    ],
)
def test_names_become_kebab_case(name, expected):
    """Python names turn into the names clients use."""
    assert kebab_case(name) == expected


def test_options_reach_the_settings():
    """Texts are read, objects are taken as they are, examples are kept."""

    @sojourn.function(
        name="x",
        slo=sojourn.SLO(latency_s=0.2),
        batchable=False,
        memory="2GB",
        threads=3,
        batching=sojourn.Fixed(size=4, wait_s=0.01),
        overload="shed",
        examples=(number for number in (1, 2)),
    )
    def serve(item):
        return item

    declaration = serve.__sojourn__
    settings = declaration.settings
    assert (
        settings.name,
        settings.slo.latency_s,
        settings.batchable,
        settings.memory_bytes,
        settings.thread_count,
    ) == (
        "x",
        0.2,
        False,
        2_000_000_000,
        3,
    )
    assert settings.batching == sojourn.Fixed(size=4, wait_s=0.01)
    assert declaration.examples == (1, 2)
    assert sojourn.function(batching="none")(lambda_free).__sojourn__.settings.batching == NoBatching()


@pytest.mark.parametrize(
    ("memory", "expected"), [(5, 5), ("512MiB", 512 * 2**20), ("1.5 kB", 1500), ("3g", 3 * 10**9), (None, None)]
)
def test_memory_is_bytes_or_text(memory, expected):
    """Decimal and binary units are told apart."""
    assert sojourn.function(memory=memory)(lambda_free).__sojourn__.settings.memory_bytes == expected


def test_async_functions_run_64_calls_at_once_by_default():
    """`async def`, alone or as `__call__`, is recognised; concurrency is 64 unless given."""

    @sojourn.function
    async def alone(items):
        return items

    @sojourn.function(concurrency=3)
    class Called:
        async def __call__(self, items):
            return items

    assert alone.__sojourn__.is_async
    assert alone.__sojourn__.settings.concurrency == 64
    assert Called.__sojourn__.is_async
    assert Called.__sojourn__.settings.concurrency == 3


def test_async_functions_share_no_model():
    """Their constructor may need the event loop, which does not survive a fork; everything else may be shared."""
    with pytest.raises(ConfigurationError, match=r'share="fork" is not for `async` functions'):

        @sojourn.function(share="fork")
        class Called:
            async def __call__(self, items):
                return items

    assert sojourn.function(share="fork")(lambda_free).__sojourn__.settings.share == "fork"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"concurrency": 4}, "concurrency is for `async def` functions only"),
        ({"share": "all"}, """share must be None, "fork" or "none", not 'all'"""),
        ({"share": "fork", "gpus": 1}, 'share="fork" is for models in main memory'),
        ({"batching": "fastest"}, "batching='fastest' is unknown; known: slo, latency, none, fixed, window"),
        ({"batching": 3}, "batching=3 is unknown"),
        ({"scaling": "magic"}, "scaling='magic' is unknown; known: slo"),
        ({"keepalive": "never"}, "keepalive='never' is unknown"),
        ({"slo": "fast"}, "expected a share"),
        ({"slo": 5}, "slo=5: expected text"),
        ({"memory": "2 bananas"}, "memory='2 bananas': expected bytes or text"),
        ({"max_batch_size": "64"}, "max_batch_size='64': Expected `int`"),
        ({"max_batch_size": 0}, "max_batch_size must be in [1, 4096], not 0"),
        ({"batchable": "yes"}, "batchable='yes': Expected `bool`"),
        ({"cpus": True}, "cpus=True: Expected `float`"),
        ({"name": "Bad Name"}, "name must be"),
    ],
)
def test_bad_options_are_refused_at_decoration_with_place_and_remedy(options, expected):
    """What is wrong, in which file and line, and what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        sojourn.function(**options)(lambda_free)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("test_declare.py:")


def test_all_faults_are_named_at_once():
    """Two bad options give one message with both."""
    with pytest.raises(ConfigurationError, match=r"lambda_free: cpus='1'.*batching='x'"):
        sojourn.function(cpus="1", batching="x")(lambda_free)


def test_faults_of_every_kind_are_named_together():
    """A wrong type, a value out of range and an unreadable objective; the objective last, its caret in place."""
    with pytest.raises(ConfigurationError) as caught:
        sojourn.function(slo="fast", cpus="1", max_batch_size=0, max_replicas=0, max_batch=4)(lambda_free)
    head, text, caret, _ = str(caught.value).split("\n")
    assert head.split(": ", 2)[2] == (
        "unknown option max_batch: did you mean max_batch_size?; cpus='1': Expected `float`, got `str`; "
        "max_batch_size must be in [1, 4096], not 0; max_replicas must be >= 1 and >= min_replicas=0, not 0; "
        "slo: expected a share such as 99% or p99 at column 1"
    )
    assert text.index("fast") == caret.index("^")


def test_an_unknown_option_is_refused_with_the_one_that_may_be_meant():
    """Near ones are proposed; where nothing is near, the list is pointed at."""
    for option, expected in (
        ("max_batch", "unknown option max_batch: did you mean max_batch_size?"),
        ("example", "unknown option example: did you mean examples?"),
        ("zzz", "unknown option zzz; see help"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            sojourn.function(**{option: 4})(lambda_free)
        assert expected in str(caught.value)


def test_what_cannot_be_served_is_refused():
    """A class that cannot be called, a generator, a built-in, and options given by position."""

    class Uncallable:
        pass

    def streams(items):
        yield from items

    for subject, expected in (
        (Uncallable, r"has no __call__"),
        (streams, "streaming answers are not supported"),
        (len, "cannot be declared"),
        ("99% < 100ms", "belongs above a class or a function"),
    ):
        with pytest.raises(ConfigurationError, match=expected):
            sojourn.function(subject)


def test_item_error_carries_an_error_status():
    """Statuses outside 400 to 599 are refused where they are written."""
    error = sojourn.ItemError(404, "no such thing")
    assert (error.status, error.message) == (404, "no such thing")
    for status in (200, 399, 600, "404", True):
        with pytest.raises(ValueError, match=r"\[400, 599\]"):
            sojourn.ItemError(status, "x")


def test_declaring_imports_neither_server_nor_asyncio():
    """What a cold start pays for `import sojourn` and the decorator stays small."""
    code = (
        "import sys, sojourn; sojourn.function\n"
        "heavy = {'asyncio', 'uvloop', 'click', 'rich', 'starlette', 'numpy', 'socket', 'sojourn.core'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_scaling_and_keepalive_are_given_by_name_or_as_an_object():
    """Names take the defaults, objects their parameters; neither given, the defaults are `slo` and `adaptive`."""
    plain = sojourn.function(lambda_free).__sojourn__.settings
    assert (plain.scaling, plain.keepalive) == (sojourn.SLOScaling(), sojourn.AdaptiveKeepAlive())
    named = sojourn.function(scaling="concurrency", keepalive="fixed")(lambda_free).__sojourn__.settings
    assert (named.scaling, named.keepalive) == (sojourn.ConcurrencyScaling(), sojourn.FixedKeepAlive())
    made = sojourn.function(scaling=sojourn.OngoingScaling(target=4), keepalive=sojourn.FixedKeepAlive(idle_s=5))
    settings = made(lambda_free).__sojourn__.settings
    assert (settings.scaling.target, settings.keepalive.idle_s) == (4, 5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scaling": "fast"}, r"scaling='fast' is unknown; known: slo, concurrency, ongoing, utilization, rps, fixed"),
        ({"scaling": sojourn.FixedKeepAlive()}, "scaling=FixedKeepAlive.* is unknown"),
        ({"keepalive": "for ever"}, "keepalive='for ever' is unknown; known: adaptive, fixed, or an object such as"),
        ({"keepalive": 60}, "keepalive=60 is unknown; .*FixedKeepAlive"),
    ],
)
def test_unknown_policies_are_refused_with_those_there_are(options, told):
    """The message names what may have been meant and how an object looks."""
    with pytest.raises(ConfigurationError, match=told):
        sojourn.function(**options)(lambda_free)
