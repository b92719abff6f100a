import subprocess
import sys
from importlib.metadata import version

import pytest

import servicekit

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


def test_every_public_name_is_there_and_shown() -> None:
    assert set(servicekit.__all__) <= set(dir(servicekit))
    for name in servicekit.__all__:
        assert getattr(servicekit, name) is not None
    with pytest.raises(AttributeError, match="module 'servicekit' has no attribute 'create_schedular'"):
        servicekit.create_schedular  # type: ignore[attr-defined]  # noqa: B018
