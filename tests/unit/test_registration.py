"""Ids, specs and registries: round trips, helpful errors, plugins that fail, and imports that stay light."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

import leakybench
from leakybench import registry as registration
from leakybench.registry import Registry, build
from leakybench.specs import BaselineSpec, TaskSpec, parse_id


@pytest.fixture
def registry():
    empty = Registry(TaskSpec, "leakybench.no-such-group")
    empty.register("LowRank-k3-v0", "pkg.mod:Low", {"k": 3}, true_rank=3)
    empty.register("LowRank-k3-v1", "pkg.mod:Low", {"k": 3})
    empty.register("mine/Ring-v0", "my.ring:Ring")
    return empty


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Ring-v0", (None, "Ring", 0)),
        ("mine/Ring-v12", ("mine", "Ring", 12)),
        ("NestedRank-6-3-v0", (None, "NestedRank-6-3", 0)),
        ("a/B-x.5-y-v3", ("a", "B-x.5-y", 3)),
    ],
)
def test_ids_are_parsed(text, parts):
    assert parse_id(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ring",
        "Ring-v",
        "Ring-v01",
        "Ring-v-1",
        "-v0",
        "a/b/C-v0",
        "../x-v0",
        "Ring -v0",
        "Ring-v0\n",
        "x" * 200 + "-v0",
    ],
)
def test_malformed_ids_say_the_form(text):
    with pytest.raises(leakybench.RegistrationError, match=r"malformed id .*\[namespace/\]Name\[-variant\]-vN"):
        parse_id(text)


def test_a_typo_names_the_nearest_ids(registry):
    with pytest.raises(leakybench.UnknownIdError, match=r"unknown task 'LowRnk-k3-v0'; did you mean LowRank-k3-v"):
        registry.spec("LowRnk-k3-v0")


def test_a_wrong_version_names_those_that_exist(registry):
    with pytest.raises(leakybench.UnknownIdError, match=r"no version 7; registered: LowRank-k3-v0, LowRank-k3-v1"):
        registry.spec("LowRank-k3-v7")


def test_an_unknown_namespace_names_the_missing_plugin(registry):
    with pytest.raises(leakybench.UnknownIdError, match="no installed plugin provides the namespace 'yours'"):
        registry.spec("yours/Ring-v0")


def test_registering_twice_is_an_error(registry):
    with pytest.raises(leakybench.RegistrationError, match="mine/Ring-v0 is already registered"):
        registry.register("mine/Ring-v0", "other:Ring")
    assert registry.spec("mine/Ring-v0").entry_point == "my.ring:Ring"


@pytest.mark.parametrize("point", [int, "no-colon", "a:b:c", "a b:c", ":C", "m:", None])
def test_entry_points_are_text_of_one_form(registry, point):
    with pytest.raises(leakybench.RegistrationError, match="entry point"):
        registry.register("mine/New-v0", point)
    assert "mine/New-v0" not in registry


@pytest.mark.parametrize(
    "fields",
    [
        {"kwargs": {"x": float("nan")}},
        {"kwargs": {"x": object()}},
        {"kwargs": [1]},
        {"true_rank": 0},
        {"true_rank": True},
        {"true_rank": "3"},
        {"summary": 5},
        {"colour": "red"},
    ],
)
def test_specs_that_are_not_plain_are_refused(registry, fields):
    with pytest.raises(leakybench.UsageError):
        registry.register("mine/New-v0", "m:C", **fields)
    assert "mine/New-v0" not in registry


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    kwargs=st.dictionaries(st.text(), json_values, max_size=4),
    summary=st.text(),
    plugin=st.none() | st.text(),
    rank=st.none() | st.integers(1, 99),
)
def test_a_spec_round_trips_through_json(kwargs, summary, plugin, rank):
    spec = TaskSpec(id="a/B-v1", entry_point="m.n:C", kwargs=kwargs, summary=summary, plugin=plugin, true_rank=rank)
    again = TaskSpec.from_json(spec.to_json())
    assert again == spec
    assert again.digest == spec.digest
    assert again.to_json() == spec.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{",
        '{"id": "A-v0"}',
        '{"id": "A-v0", "entry_point": "m:C", "extra": 1}',
        "[" * 5000,
        '{"id": "A-v0", "entry_point": 4}',
        '{"id": "A-v0", "entry_point": "m:C", "kwargs": 7}',
    ],
)
def test_a_text_that_is_no_spec_is_one_clear_line(text):
    with pytest.raises(leakybench.UsageError) as caught:
        TaskSpec.from_json(text)
    assert "\n" not in str(caught.value)


def test_the_digest_sees_what_is_built_and_not_its_description():
    spec = BaselineSpec(id="A-v0", entry_point="m:C", kwargs={"depth": 20})
    assert spec.digest == BaselineSpec(id="A-v0", entry_point="m:C", kwargs={"depth": 20}, summary="other").digest
    assert spec.digest != spec.with_overrides({"depth": 21}).digest
    assert spec.with_overrides({"width": 5}).kwargs == {"depth": 20, "width": 5}


def test_globs_choose_and_an_empty_match_is_an_error(registry):
    assert [spec.id for spec in registry.match(["LowRank-*"])] == ["LowRank-k3-v0", "LowRank-k3-v1"]
    assert [spec.id for spec in registry.match(["mine/*", "mine/Ring-v0"])] == ["mine/Ring-v0"]
    with pytest.raises(leakybench.UnknownIdError, match="no task id matches 'Nope\\*'"):
        registry.match(["Nope*"])


def test_listings_sort_numbers_as_numbers():
    ids = [spec.id for spec in registration.tasks if spec.id.startswith("LowRank-k")]
    names = ("k1", "k2", "k3", "k5", "k10-n300", "k10")
    assert ids == [f"LowRank-{name}-v0" for name in names]


class Distribution:
    """Stands for an installed distribution."""

    def __init__(self, name):
        self.name = name


def test_a_plugin_that_fails_is_named_and_the_others_load(monkeypatch):
    registry = Registry(TaskSpec, "group")

    def good():
        registry.register("good/Ring-v0", "m:C")

    def half():
        registry.register("half/Ring-v0", "m:C")
        raise RuntimeError("broken inside")

    points = []
    for name, function in (("good", good), ("half", half)):
        point = EntryPoint(name=name, value="x:y", group="group")
        monkeypatch.setitem(vars(point), "dist", Distribution(f"{name}-package"))
        points.append((point, function))
    functions = {id(point): function for point, function in points}
    monkeypatch.setattr(registration.importlib.metadata, "entry_points", lambda group: [p for p, _ in points])
    monkeypatch.setattr(EntryPoint, "load", lambda self: functions[id(self)])
    assert [spec.id for spec in registry] == ["good/Ring-v0"]
    assert registry.spec("good/Ring-v0").plugin == "good-package"
    with pytest.raises(
        leakybench.UnknownIdError, match=r"failed to load: half-package \(RuntimeError: broken inside\)"
    ):
        registry.spec("half/Ring-v0")


class Plain:
    """A class that knows nothing of specs."""

    def __init__(self, depth=3):
        self.depth = depth


class Refusing:
    def __init__(self, depth):
        raise leakybench.UsageError(f"depth must be even, got {depth}")


def test_build_hands_spec_over_and_names_wrong_settings():
    spec = BaselineSpec(id="mine/Plain-v0", entry_point=f"{__name__}:Plain")
    built = build(spec, {"depth": 5})
    assert built.depth == 5
    assert built.spec.kwargs == {"depth": 5}
    with pytest.raises(leakybench.UsageError, match=r"mine/Plain-v0 has no setting 'dpeth'; its settings: depth"):
        build(spec, {"dpeth": 5})
    with pytest.raises(leakybench.UsageError, match="depth must be even, got 3"):
        build(BaselineSpec(id="mine/R-v0", entry_point=f"{__name__}:Refusing"), {"depth": 3})


@pytest.mark.parametrize(
    "point", ["no_such_module_at_all:C", "leakybench.errors:NoSuchClass", "leakybench.errors:__doc__"]
)
def test_an_entry_point_that_cannot_be_loaded_names_its_plugin(point):
    spec = BaselineSpec(id="mine/Gone-v0", entry_point=point, plugin="gone-package")
    with pytest.raises(leakybench.PluginError, match=r"mine/Gone-v0.*gone-package"):
        build(spec, {})


def test_listing_does_not_import_torch():
    code = (
        "import sys, leakybench\n"
        "from leakybench.registry import tasks, baselines\n"
        "assert len(tasks) > 10 and len(baselines) > 5\n"
        "leakybench.make_baseline('LeakyResNet-v0')\n"
        "print([m for m in ('torch', 'scipy', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pprint_lists_every_id(capsys):
    leakybench.pprint_registry()
    printed = capsys.readouterr().out
    for spec in (*registration.tasks, *registration.baselines):
        assert spec.id in printed


def test_a_named_set_stands_for_its_ids(registry):
    ids = [spec.id for spec in registry]
    registry.register_set("mine", ids[:1])
    assert [spec.id for spec in registry.match(["@mine"])] == ids[:1]
    assert registry.match(["@mine", ids[0]]) == registry.match(["@mine"])
    assert registry.sets["mine"] == (ids[0],)
    registry.unregister(ids[0])
    assert "mine" not in registry.sets


def test_sets_that_cannot_be_are_refused(registry):
    id = next(iter(registry)).id
    registry.register_set("mine", [id])
    with pytest.raises(leakybench.RegistrationError, match="already registered"):
        registry.register_set("mine", [id])
    with pytest.raises(leakybench.RegistrationError, match="needs registered ids, got none"):
        registry.register_set("empty", [])
    with pytest.raises(leakybench.RegistrationError, match="needs registered ids, got Nothing-v0"):
        registry.register_set("unknown", [id, "Nothing-v0"])
    with pytest.raises(leakybench.RegistrationError, match="must be a word"):
        registry.register_set("@mine", [id])
    with pytest.raises(leakybench.UnknownIdError, match=r"no .* set is called '@core'; the sets are: @mine"):
        registry.match(["@core"])


def test_a_script_that_is_imported_by_its_name_registers_its_class_once_more(registry):
    """The body of a script runs as __main__ and, where a worker imports it, under its own name."""
    code = compile("registry.register('mine/Script-v0', 'script:Thing', {'a': 1})", "script.py", "exec")
    for name in ("__main__", "script", "script"):
        exec(code, {"__name__": name, "registry": registry})
    other = compile("\nregistry.register('mine/Script-v0', 'script:Thing', {'a': 1})", "script.py", "exec")
    changed = compile("registry.register('mine/Script-v0', 'script:Thing', {'a': 2})", "script.py", "exec")
    for another in (other, changed):
        with pytest.raises(leakybench.RegistrationError, match="already registered"):
            exec(another, {"__name__": "script", "registry": registry})


def test_the_same_registration_twice_in_a_function_is_an_error(registry):
    for _ in range(2):
        if "mine/Twice-v0" not in registry:
            registry.register("mine/Twice-v0", "a.b:C")
            continue
        with pytest.raises(leakybench.RegistrationError, match="already registered"):
            registry.register("mine/Twice-v0", "a.b:C")


def test_a_module_may_register_what_a_worker_knows_from_the_plan(registry):
    exec(
        compile("registry.register('mine/Plan-v0', 'script:Thing')", "execute.py", "exec"),
        {"__name__": "leakybench.engines.execute", "registry": registry},
    )
    registry.register("mine/Plan-v0", "script:Thing")
    with pytest.raises(leakybench.RegistrationError, match="already registered"):
        registry.register("mine/Plan-v0", "script:Other")


def test_a_class_of_the_running_script_is_registered_by_the_name_of_the_script(registry, monkeypatch, tmp_path):
    (tmp_path / "own_script.py").write_text("class Thing: ...\n")
    main = type(sys)("__main__")
    main.__file__ = str(tmp_path / "own_script.py")
    main.Thing = type("Thing", (), {})
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert registry.register("mine/Before-v0", "__main__:Thing").entry_point == "__main__:Thing"  # on no path
    monkeypatch.syspath_prepend(tmp_path)
    spec = registry.register("mine/Own-v0", "__main__:Thing")
    assert spec.entry_point == "own_script:Thing"
    assert spec.load() is main.Thing  # the script does not run a second time
    assert "own_script" not in sys.modules
    del main.__file__  # a notebook
    assert registry.register("mine/Notebook-v0", "__main__:Thing").entry_point == "__main__:Thing"
