import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import servicekit
from servicekit.cli.worker import load_app
from servicekit.errors import ConfigurationError

HEAVY = ("asyncio", "fastapi", "pydantic", "servicekit.engine", "sqlite3")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True, timeout=50)


def list_imported(code: str) -> set[str]:
    done = run("-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)")
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_the_help_is_there_without_importing_what_runs_jobs() -> None:
    imported = list_imported(
        "from servicekit.cli.main import main\ntry: main(['--help'])\nexcept SystemExit as end: assert end.code == 0"
    )
    assert imported.isdisjoint(HEAVY)


def test_the_package_by_itself_imports_nothing_heavy() -> None:
    assert list_imported("import servicekit").isdisjoint(HEAVY)


def test_a_service_imports_no_store_before_it_has_chosen_one() -> None:
    imported = list_imported("import servicekit.api")
    assert not {name for name in imported if name.startswith("servicekit.stores.")}
    imported = list_imported("from servicekit import InMemoryScheduler; InMemoryScheduler()")
    assert imported.isdisjoint({"servicekit.stores.sqlite", "sqlite3"})


def test_python_m_is_the_command_and_knows_its_version() -> None:
    done = run("-m", "servicekit", "--version")
    assert (done.returncode, done.stdout) == (0, f"servicekit {version('servicekit')}\n")


def test_what_is_wrong_with_the_command_line_is_told_with_exit_code_2() -> None:
    done = run("-m", "servicekit", "worker", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("servicekit: the application must be given as MODULE:APP")


@pytest.mark.parametrize("name", [".service", "a..b", ":app", ""])
def test_what_cannot_be_a_modules_name_is_told(name: str) -> None:
    with pytest.raises(ConfigurationError, match="given as MODULE:APP"):
        load_app(f"{name}:app")


@pytest.mark.parametrize("error", ["ValueError", "TypeError"])
def test_what_the_applications_module_raises_comes_out_as_it_is(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"raises_{error}.py").write_text(f"raise {error}('DATABASE_URL is not set')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises((ValueError, TypeError), match="DATABASE_URL is not set"):
        load_app(f"raises_{error}:app")


def test_every_public_name_is_there_and_shown() -> None:
    assert set(servicekit.__all__) <= set(dir(servicekit))
    for name in servicekit.__all__:
        assert getattr(servicekit, name) is not None
    with pytest.raises(AttributeError, match="module 'servicekit' has no attribute 'create_schedular'"):
        servicekit.create_schedular  # type: ignore[attr-defined]  # noqa: B018
