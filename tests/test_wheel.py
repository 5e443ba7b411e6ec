"""What `pip install` brings along: also the files that make a service of it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
UNITS = "share/transcription-watcher/systemd"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from what a clone holds."""
    pytest.importorskip("hatchling", reason="hatchling, which comes with the extra dev, is not installed")
    source, out = tmp_path_factory.mktemp("source") / "clone", tmp_path_factory.mktemp("out")
    shutil.copytree(
        REPOSITORY, source, ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv", "tests", "*.egg-info")
    )
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(out.glob("*.whl")))


def test_a_wheel_brings_every_file_of_the_service_as_it_is(wheel: zipfile.ZipFile) -> None:
    data = next(name for name in wheel.namelist() if ".data/" in name).partition(".data/")[0] + ".data/data"
    files = {path.relative_to(REPOSITORY / "systemd") for path in (REPOSITORY / "systemd").rglob("*") if path.is_file()}

    assert {
        Path("watcher.service"),
        Path("sysusers.d/watcher.conf"),
        Path("user/watcher.service"),
        Path("README.md"),
    } <= files
    for file in files:
        assert wheel.read(f"{data}/{UNITS}/{file}") == (REPOSITORY / "systemd" / file).read_bytes()


def test_a_wheel_brings_the_program_and_no_tests(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()

    assert {"watcher/__main__.py", "watcher/py.typed"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "systemd/"))]


def test_the_page_takes_the_files_from_where_the_wheel_puts_them() -> None:
    text = (REPOSITORY / "systemd" / "README.md").read_text()

    assert f"/opt/watcher/{UNITS}" in text
    assert "cp -r systemd/" not in text
    assert "cp systemd/" not in text
