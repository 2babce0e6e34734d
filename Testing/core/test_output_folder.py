"""An output folder is written whole or not at all, and nobody's files are lost."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from MSKFusionLib.errors import InputError
from MSKPlannerLib.output_folder import check_output, output_folder


def _tree(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file() and p.name[0] != "."
    }


def _write(target, text, force=False):
    with output_folder(target, force=force) as folder:
        (folder / "plan.json").write_text(text)
        (folder / "guides").mkdir()
        (folder / "guides" / f"{text}.stl").write_text(text)


def test_a_new_folder_appears_whole(tmp_path):
    _write(tmp_path / "deep" / "out", "a")
    assert _tree(tmp_path / "deep" / "out") == {"plan.json": "a", "guides/a.stl": "a"}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


def test_results_are_replaced_only_when_asked(tmp_path):
    out = tmp_path / "out"
    _write(out, "a")
    with pytest.raises(InputError, match="--force"):
        _write(out, "b")
    assert _tree(out) == {"plan.json": "a", "guides/a.stl": "a"}
    _write(out, "b", force=True)
    assert _tree(out) == {"plan.json": "b", "guides/b.stl": "b"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_files_of_the_user_are_kept(tmp_path):
    out = tmp_path / "out"
    (out / "notes").mkdir(parents=True)
    (out / "notes" / "mine.txt").write_text("mine")
    _write(out, "a")
    (out / "later.txt").write_text("later")
    _write(out, "b", force=True)
    assert _tree(out) == {"plan.json": "b", "guides/b.stl": "b", "notes/mine.txt": "mine", "later.txt": "later"}


def test_a_users_file_with_the_name_of_a_result_is_set_aside(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "guides").mkdir()
    (out / "guides" / "a.stl").write_text("mine")
    _write(out, "a")
    assert _tree(out)["guides/a.stl.before-mskplanner"] == "mine"


def test_a_failure_leaves_the_folder_as_it_was(tmp_path):
    out = tmp_path / "out"
    _write(out, "a")
    with pytest.raises(RuntimeError), output_folder(out, force=True) as folder:
        (folder / "plan.json").write_text("half")
        raise RuntimeError("stop")
    assert _tree(out) == {"plan.json": "a", "guides/a.stl": "a"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_killed_run_leaves_the_old_plan(tmp_path):
    out = tmp_path / "out"
    _write(out, "a")
    code = f"""
    import os, signal
    from MSKPlannerLib.output_folder import output_folder
    with output_folder({str(out)!r}, force=True) as folder:
        (folder / "plan.json").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert _tree(out) == {"plan.json": "a", "guides/a.stl": "a"}


def test_a_full_disk_is_said_and_nothing_is_changed(tmp_path):
    out = tmp_path / "out"
    _write(out, "a")
    with pytest.raises(InputError, match="No space left"), output_folder(out, force=True):
        raise OSError(28, "No space left on device")
    assert _tree(out) == {"plan.json": "a", "guides/a.stl": "a"}


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="a file, not a folder"):
        check_output(tmp_path / "out")
