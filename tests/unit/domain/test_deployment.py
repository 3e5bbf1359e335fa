"""Revisions and their names, and rollout plans."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.deployment import REVISION, RolloutPlan, deployed_as, renamed, revision_of
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.errors import ConfigurationError, DeploymentError

BUNDLE = "a" * 64
MANIFEST = FunctionManifest(
    target="app.py", attribute="F", settings=FunctionSettings(name="f"), revision="", root="/bundles/a"
)


def changed(**more):
    """The manifest with other settings."""
    return msgspec.structs.replace(MANIFEST, settings=msgspec.structs.replace(MANIFEST.settings, **more))


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5), st.randoms())
def test_the_order_of_dependencies_says_nothing(dependencies, random):
    """Twelve hex digits, the same however the keys are ordered, others where one more is there."""
    items = list(dependencies.items())
    random.shuffle(items)
    revision = revision_of(BUNDLE, MANIFEST, dependencies)
    assert REVISION.fullmatch(revision)
    assert revision_of(BUNDLE, MANIFEST, dict(items)) == revision
    assert revision_of(BUNDLE, MANIFEST, dependencies | {"longer name": "1"}) != revision


def test_a_revision_is_code_settings_and_dependencies():
    """Each of them makes another; where the bundle lies, what it was called before and its schemas do not."""
    base = revision_of(BUNDLE, MANIFEST, {"numpy": "1"})
    others = [
        revision_of("b" * 64, MANIFEST, {"numpy": "1"}),
        revision_of(BUNDLE, MANIFEST, {"numpy": "2"}),
        revision_of(BUNDLE, MANIFEST, {}),
        revision_of(BUNDLE, changed(max_batch_size=8), {"numpy": "1"}),
        revision_of(BUNDLE, renamed(MANIFEST, "g"), {"numpy": "1"}),
        revision_of(BUNDLE, msgspec.structs.replace(MANIFEST, target="b.py"), {"numpy": "1"}),
        revision_of(BUNDLE, msgspec.structs.replace(MANIFEST, attribute="G"), {"numpy": "1"}),
    ]
    assert len({base, *others}) == len(others) + 1
    same = msgspec.structs.replace(MANIFEST, root="/elsewhere", revision="x", input_schema={"type": "integer"})
    assert revision_of(BUNDLE, same, {"numpy": "1"}) == base


def test_a_single_function_takes_another_name():
    """One name for one function; for several it is refused with their names; none leaves all as they are."""
    other = changed(name="g")
    assert [one.name for one in deployed_as([MANIFEST], "new")] == ["new"]
    assert deployed_as([MANIFEST, other], "") == [MANIFEST, other]
    with pytest.raises(DeploymentError, match=r"one name, 'new', for 2 functions \(f, g\)"):
        deployed_as([MANIFEST, other], "new")
    with pytest.raises(ConfigurationError, match="name must be 1-63 characters"):
        renamed(MANIFEST, "No Name")


def test_a_plan_tells_all_its_faults():
    """Strategy, shares and time at once."""
    with pytest.raises(ConfigurationError) as caught:
        RolloutPlan(strategy="slow", shares=(0.5, 0.2), step_s=0)
    assert all(word in str(caught.value) for word in ("strategy", "shares", "step_s"))
