"""The workflow of GitHub Actions: its commands exist, its actions are pinned, and a failing step fails the job."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.readme_example import first_example

yaml = pytest.importorskip("yaml", reason="no PyYAML")
ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
# YAML 1.1 reads the key `on` as true
WORKFLOW = yaml.safe_load(TEXT)
JOBS = WORKFLOW["jobs"]


def _commands(job: str) -> str:
    return "\n".join(step["run"] for step in JOBS[job]["steps"] if "run" in step)


def test_actions_are_pinned_by_commit_and_say_their_version():
    used = re.findall(r"uses: *(.*)", TEXT)
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", name) for name in used)
    # one commit an action, so that an update is one search and replace
    assert len({name.split()[0] for name in used}) == len({name.split("@")[0] for name in used})


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake (?:-C \S+ )?([a-z-]+)", TEXT):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_gate_runs_on_changes_and_nightly_with_perf_and_slow_tests():
    triggers = WORKFLOW[True]
    assert set(triggers) >= {"push", "pull_request", "schedule"}
    assert re.fullmatch(r"\d+ \d+ \* \* \*", triggers["schedule"][0]["cron"])
    assert "if" not in JOBS["regress"]
    assert "make regress" in _commands("regress")
    for job, command in (("nightly-perf", "make perf-compare"), ("nightly-slow", "make test-slow")):
        assert "schedule" in JOBS[job]["if"]
        assert command in _commands(job)


def test_a_failure_fails():
    assert "continue-on-error" not in TEXT
    for name, job in JOBS.items():
        assert "|| true" not in _commands(name)
        assert job["timeout-minutes"] <= 360
        assert set(job.get("needs", "").split()) <= set(JOBS)


def test_jobs_may_read_and_nothing_else():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in JOBS.values())


def test_the_example_of_the_readme_runs_from_the_wheel_on_every_python():
    job = JOBS["wheel"]
    assert job["strategy"]["matrix"]["python"] == JOBS["test"]["strategy"]["matrix"]["python"]
    assert "if" not in job
    commands = [step["run"] for step in job["steps"] if "run" in step]
    parts = ("pip wheel", "readme_example.py checkout/README.md", "rm -r checkout", "-m venv", "python example.py")
    order = [next(index for index, command in enumerate(commands) if part in command) for part in parts]
    # the checkout is gone before the example runs, so that it can only come from the wheel
    assert order == sorted(set(order))
    assert any(re.fullmatch(r"fresh/bin/pip install wheel/\*\.whl", command) for command in commands)


def test_the_example_is_the_one_that_evaluates_a_baseline():
    code = first_example((ROOT / "README.md").read_text(encoding="utf-8"))
    assert code.startswith("import leakybench\n")
    assert "leakybench.evaluate(" in code
    with pytest.raises(ValueError, match="no block of Python"):
        first_example("```bash\nls\n```\n")


def test_pythons_are_those_that_the_package_says_it_runs_on():
    required = re.search(r'requires-python = ">=(\d+\.\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert required is not None
    assert JOBS["test"]["strategy"]["matrix"]["python"][0] == required[1]
