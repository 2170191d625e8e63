"""Between the command line and the shell: exit codes, streams, Ctrl-C, closed pipes, and the time that help takes."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer
from people_table import CONFIG, Polytask, people

from polytask.app.cli import COMMANDS
from polytask.app.guard import guarded, keeping
from polytask.errors import TrainingError, UserError
from polytask.record.run import RunRecord

CALL = "import sys; from polytask.app.cli import main; sys.exit(main())"


def ended(error: BaseException) -> int:
    """The exit code of a command that raises."""

    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as caught:
        guarded(command)()
    return caught.value.exit_code


def test_errors_become_messages_and_codes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLYTASK_DEBUG", raising=False)
    assert ended(UserError("expected a.", where="there", do="Do this.")) == 2
    assert capsys.readouterr().err == "Error: there: expected a.\n  Do this.\n"
    assert ended(TrainingError("it broke.")) == 1
    assert capsys.readouterr().err == "Error: it broke.\n"
    assert ended(ZeroDivisionError("division\nby zero")) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Error: unexpected ZeroDivisionError: division\n")
    assert "POLYTASK_DEBUG=1" in shown
    assert "Traceback" not in shown


def test_the_traceback_is_there_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYTASK_DEBUG", "1")
    assert ended(UserError("expected a.")) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_says_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        with keeping("All is kept."):
            raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as caught:
        guarded(command)()
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "Stopped. All is kept.\n"


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        warnings.warn("two\n  lines", stacklevel=1)

    guarded(command)()
    assert capsys.readouterr().err == "Warning: two lines\n"


def test_every_command_is_there_and_begins_with_its_line(polytask: Polytask) -> None:
    listing = polytask("--help").out
    for name, line in COMMANDS.items():
        assert f"  {name}" in listing
        assert line in listing
        shown = polytask(name, "--help")
        assert shown.code == 0
        assert line in " ".join(shown.out.split())


def test_commands_and_files_agree() -> None:
    folder = Path(__file__).parents[2] / "src" / "polytask" / "app" / "commands"
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert files == set(COMMANDS), "every file of app/commands is a line of COMMANDS in app/cli.py"


def test_misspelt_commands_and_options(polytask: Polytask) -> None:
    result = polytask("comapre", "c.yaml")
    assert result.code == 2
    assert "'compare'" in result.err
    assert polytask("train", "--seed", "3").code == 2
    assert polytask().code in (0, 2)  # the help; the code differs between versions of typer
    assert polytask("version").out.startswith("polytask ")


@pytest.mark.parametrize("words", [["--help"], ["version"], ["nonsense"]])
def test_help_does_not_wait_for_pytorch(words: list[str]) -> None:
    heavy = "[m for m in ('torch', 'polars', 'numpy') if m in sys.modules]"
    code = f"import sys\nfrom polytask.app.cli import main\nmain({words!r})\nprint({heavy})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_silent() -> None:
    process = subprocess.Popen([sys.executable, "-c", CALL, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


def test_a_stopped_training_goes_on(tmp_path: Path, polytask: Polytask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    people().write_csv("people.csv")
    Path("c.yaml").write_text(CONFIG)
    words = ["train", "c.yaml", "--run", "r", "--no-report", "--set", "training={epochs: 60, patience: 0}"]
    process = subprocess.Popen([sys.executable, "-c", CALL, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 3/"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 130
    assert "Stopped." in rest
    assert "polytask train --resume r" in rest
    assert "Traceback" not in rest
    assert RunRecord.read(Path("r")).status == "running"
    assert polytask("train", "--resume", "r", "--no-report").code == 0
    record = RunRecord.read(Path("r"))
    assert record.status == "finished"
    assert [epoch.epoch for epoch in record.history] == list(range(1, 61))
