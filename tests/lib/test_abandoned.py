"""What nobody holds any more goes, and what somebody holds stays."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tfsaver.lib import abandoned, file_io
from tfsaver.lib.temporary_directory import temporary_directory


def test_file_is_held_until_it_is_released(tmp_path: pathlib.Path) -> None:
    file = file_io.open_temporary(str(tmp_path / "file"))
    file.append(b"x")
    assert not abandoned.remove_abandoned(file.path)
    # Closed it is complete, and has not got its name yet.
    file.close()
    assert not abandoned.remove_abandoned(file.path)
    file.release()
    assert abandoned.remove_abandoned(file.path)
    assert not abandoned.remove_abandoned(file.path)
    assert os.listdir(tmp_path) == []


def test_file_of_a_process_that_was_killed_is_nobodys(tmp_path: pathlib.Path) -> None:
    program = (
        "import os, sys\n"
        "from tfsaver.lib import file_io\n"
        "file = file_io.open_temporary(sys.argv[1])\n"
        "print(file.path, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], capture_output=True, text=True)
    assert done.returncode == -9
    assert abandoned.remove_abandoned(done.stdout.strip())


@pytest.mark.parametrize("is_directory", [False, True])
def test_links_pipes_and_what_is_of_the_other_kind_are_never_removed(tmp_path: pathlib.Path, is_directory: bool) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / ("directory" if is_directory else "file"))
    os.mkfifo(tmp_path / "pipe")
    other = tmp_path / ("file" if is_directory else "directory")
    for path in (tmp_path / "link", tmp_path / "pipe", other, tmp_path / "nothing"):
        assert not abandoned.remove_abandoned(str(path), is_directory=is_directory)
    assert len(os.listdir(tmp_path)) == 4


def test_temporary_directory_is_held_and_goes(tmp_path: pathlib.Path) -> None:
    target = str(tmp_path / "export")
    with temporary_directory(target) as path:
        (pathlib.Path(path) / "file").touch()
        assert file_io.is_temporary_name(path) and path.startswith(target)
        assert not abandoned.remove_abandoned(path, is_directory=True)
        # Another one for the same target, by another thread or process, leaves it alone.
        with temporary_directory(target) as other:
            assert other != path and os.path.exists(path)
    assert os.listdir(tmp_path) == []


def test_temporary_directory_that_was_renamed_stays_under_its_name(tmp_path: pathlib.Path) -> None:
    with temporary_directory(str(tmp_path / "export")) as path:
        (pathlib.Path(path) / "file").touch()
        os.rename(path, tmp_path / "export")
    assert os.listdir(tmp_path) == ["export"] and os.listdir(tmp_path / "export") == ["file"]


def test_next_one_for_the_same_target_removes_what_was_left(tmp_path: pathlib.Path) -> None:
    names = ["export.tmp0123456789", "export2.tmp0123456789", "export.tmp012345678x", "exporttmp0123456789"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "export.tmp0123456788").touch()
    with temporary_directory(str(tmp_path / "export")):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([*names[1:], "export.tmp0123456788"])


@pytest.mark.parametrize(
    ("line", "is_shared"),
    [
        ("/dev/sda / ext4 rw 0 0", False),
        ("host:/x / nfs4 rw 0 0", True),
        ("sshfs / fuse.sshfs rw 0 0", True),
        ("/dev/sda / ext4 rw 0 0\nhost:/x {parent} nfs rw 0 0", True),
        ("/dev/sda / ext4 rw 0 0\nhost:/x {path}x nfs rw 0 0", False),
        ("host:/x / nfs rw 0 0\ntmpfs {path} tmpfs rw 0 0", False),
        ("host:/x {path} nfs rw 0 0\ntmpfs {path} tmpfs rw 0 0", False),
        ("nonsense", True),
    ],
)
def test_file_system_of_one_machine_is_told_by_its_kind(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, line: str, is_shared: bool
) -> None:
    place = tmp_path / "a directory"
    place.mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text(f"{line.format(path=str(place).replace(' ', chr(92) + '040'), parent=tmp_path)}\n")
    monkeypatch.setattr(abandoned, "_MOUNTS", str(mounts))
    assert abandoned.is_shared(str(place)) is is_shared


def test_where_nobody_says_what_is_mounted_others_may_write(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "_MOUNTS", str(tmp_path / "nothing"))
    assert abandoned.is_shared(str(tmp_path))
