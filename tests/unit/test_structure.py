"""The rules of the house: size of files and functions, private names, layers, and no circle of imports."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest

from tests.helpers.source_tree import PACKAGE, ROOT, Module, import_circle, import_graph, is_private, modules

MAX_FILES_AT_ROOT = 15
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60

PRIVATE_EXCEPTIONS = {
    # scikit-learn has no public function that validates sample weights; its own guide for developers names this one
    ("leakybench.baselines.sklearn_estimator", "sklearn.utils.validation._check_sample_weight"),
    # the fused step on CPU is reached by no public function outside torch.optim's own loop
    ("leakybench.baselines.networks.descent", "torch._fused_adam_"),
    # public and documented in spite of its name
    ("leakybench.engines.worker", "os._exit"),
    ("leakybench.engines.guardian", "os._exit"),
}
"""Names of other projects with an underscore that a module may use, each for its reason."""

MODULES = modules()


def private_uses(module: Module) -> list[str]:
    """Private names that ``module`` takes from another module, in full."""
    imported = [f"{source}.{name}" if name else source for source, name in module.imports(type_checking=True)]
    names = [name for name in imported if any(is_private(part) for part in name.split("."))]
    return sorted({*names, *module.private_attributes()})


def test_the_whole_package_is_read():
    assert len(MODULES) > 100
    assert {f"{PACKAGE}.cli", f"{PACKAGE}.tasks", f"{PACKAGE}.baselines.networks"} <= set(MODULES)


def test_few_files_lie_at_the_root():
    files = sorted(path.name for path in (ROOT / "suite").glob("*.py"))
    assert len(files) <= MAX_FILES_AT_ROOT, files


def test_modules_are_short():
    assert {name: module.lines for name, module in MODULES.items() if module.lines > MAX_MODULE_LINES} == {}


def test_functions_are_short():
    lengths = [pair for module in MODULES.values() for pair in module.functions()]
    assert [(name, length) for name, length in lengths if length > MAX_FUNCTION_LINES] == []


def test_private_names_stay_at_home():
    uses = {(module.name, name) for module in MODULES.values() for name in private_uses(module)}
    assert uses - PRIVATE_EXCEPTIONS == set()
    assert PRIVATE_EXCEPTIONS - uses == set(), "exceptions that nobody needs any more"


def test_every_module_is_in_a_layer():
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["importlinter"]
    assert settings["root_package"] == PACKAGE
    (layers,) = [contract for contract in settings["contracts"] if contract["type"] == "layers"]
    assert layers["containers"] == [PACKAGE]
    assert layers["exhaustive"] is True
    assert not {"exhaustive_ignores", "ignore_imports"} & set(layers)
    placed = Counter(name.strip() for layer in layers["layers"] for name in layer.replace(":", "|").split("|"))
    assert set(placed) == {name.split(".")[1] for name in MODULES if name != PACKAGE}
    assert set(placed.values()) == {1}


def test_imports_have_no_circle():
    assert import_circle(import_graph(MODULES)) == []


def test_a_circle_through_a_function_is_noticed():
    parts = {
        "p": Module("p", "", is_package=True),
        "p.a": Module("p.a", "from p import b"),
        "p.b": Module("p.b", "def late():\n    from . import c"),
        "p.c": Module("p.c", "try:\n    import p.a\nexcept ImportError:\n    pass"),
    }
    assert import_graph(parts) == {"p": set(), "p.a": {"p.b"}, "p.b": {"p.c"}, "p.c": {"p.a"}}
    circle = import_circle(import_graph(parts))
    assert set(circle) == {"p.a", "p.b", "p.c"}
    assert circle[0] == circle[-1]
    typed = {**parts, "p.c": Module("p.c", "if TYPE_CHECKING:\n    import p.a")}
    assert import_circle(import_graph(typed)) == []


@pytest.mark.parametrize(
    ("code", "uses"),
    [
        ("from p.a import _x", ["p.a._x"]),
        ("from p import _hidden", ["p._hidden"]),
        ("import p._hidden.a", ["p._hidden.a"]),
        ("from ._hidden import x", ["p._hidden.x"]),
        ("if TYPE_CHECKING:\n    from p.a import _X", ["p.a._X"]),
        ("import p.a\np.a._x()", ["p.a._x"]),
        ("from p import a as b\nb._x", ["b._x"]),
        ("from p import __version__, a\na.__doc__\n_own = a.x", []),
    ],
)
def test_private_names_are_noticed(code, uses):
    assert private_uses(Module("p.m", code)) == uses


def test_lengths_are_counted_without_decorators():
    module = Module("p.m", "@a\n@b\ndef f():\n    x = 1\n    return x\n")
    assert list(module.functions()) == [("p.m.f", 3)]
    assert module.lines == 5
