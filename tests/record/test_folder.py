"""Files and folders are whole or not there."""

from __future__ import annotations

import os

import pytest

from polytask.errors import RunError
from polytask.record.folder import RunFolder, read_file, whole_folder, write_file


def test_a_file_is_replaced_and_no_temporary_stays(tmp_path):
    folder = RunFolder.create(tmp_path / "deep" / "run")
    folder.write_text("a.json", "one")
    folder.write_text("a.json", "two")
    assert folder.read_text("a.json") == "two"
    assert os.listdir(folder.path) == ["a.json"]


def test_a_failed_write_leaves_the_old_version(tmp_path, monkeypatch):
    write_file(tmp_path / "a", b"old")

    def refuse(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunError, match="No space left"):
        write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_create_refuses_a_folder_that_holds_something(tmp_path):
    (tmp_path / "run").mkdir()
    RunFolder.create(tmp_path / "run")  # empty: fine
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(RunError, match="--overwrite"):
        RunFolder.create(tmp_path / "run")
    RunFolder.create(tmp_path / "run", overwrite=True)
    assert os.listdir(tmp_path / "run") == []
    assert os.listdir(tmp_path) == ["run"]


def test_overwrite_never_removes_other_peoples_folders(tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(RunError, match="not written by Polytask"):
        RunFolder.create(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "run").write_text("")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="found a file"):
            RunFolder.create(tmp_path / "run", overwrite=overwrite)
    with pytest.raises(RunError, match="cannot write here"):
        RunFolder.create(tmp_path / "run" / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot write here"):
        RunFolder.create(tmp_path / "run")


def test_whole_folder_appears_only_when_it_is_complete(tmp_path):
    def fail_halfway():
        with whole_folder(tmp_path / "model") as inside:
            (inside / "polytask.yaml").write_text("format: 1")
            assert not (tmp_path / "model").exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert os.listdir(tmp_path) == []
    with whole_folder(tmp_path / "model") as inside:
        (inside / "polytask.yaml").write_text("format: 1")
    with pytest.raises(RunError, match="not empty"), whole_folder(tmp_path / "model"):
        pass
    with whole_folder(tmp_path / "model", overwrite=True) as inside:
        (inside / "polytask.yaml").write_text("format: 2")
    assert (tmp_path / "model" / "polytask.yaml").read_text() == "format: 2"
    assert os.listdir(tmp_path) == ["model"]


def test_missing_things_are_named(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(RunError, match="model"):
        RunFolder.open(tmp_path / "modle")
    with pytest.raises(RunError, match=r"'weights.safetensors' is missing; found: model"):
        read_file(tmp_path / "weights.safetensors")
