"""The command line is read once; both forms of a command are the same call; help fits a terminal."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from recbole_unlearn.cli import main
from recbole_unlearn.commands.call import read_call
from recbole_unlearn.commands.table import COMMANDS
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.version import __version__

ROOT = Path(__file__).parents[2]
FORMS = {
    "compare": ["--epochs=1"],
    "compare r.csv": ["--withdraw=r.csv", "--epochs=1"],
    "explain SCIF": ["--explain=SCIF", "--epochs=1"],
    "submit a.json b.json": ["--submit=a.json,b.json", "--epochs=1"],
    "benchmark grid.yaml": ["--benchmark=grid.yaml", "--epochs=1"],
    "withdraw m.pth r.csv": ["--model_file=m.pth", "--withdraw=r.csv", "--epochs=1"],
    "withdraw m.pth": ["--model_file=m.pth", "--epochs=1"],
    "undo m.pth": ["--undo=m.pth", "--epochs=1"],
    "readmit back.csv": ["--readmit=back.csv", "--epochs=1"],
    "due ledger": ["--due=ledger", "--epochs=1"],
    "carry-out-due m.pth": ["--carry_out_due=m.pth", "--epochs=1"],
    "carry_out_due m.pth": ["--carry_out_due=m.pth", "--epochs=1"],
    "audit . /backup": ["--audit=.,/backup", "--epochs=1"],
    "purge .": ["--purge=.", "--epochs=1"],
    "verify ledger": ["--verify=ledger", "--epochs=1"],
}


@pytest.mark.parametrize("words", FORMS)
def test_words_and_keys_are_the_same_call(words):
    flat = read_call(FORMS[words])
    for arguments in (
        [*words.split(), "--epochs=1"],
        ["--epochs", "1", *words.split()],
        [*words.split(), "--epochs", "1"],
    ):
        assert read_call(arguments) == flat
    assert flat.command.name == words.split()[0].replace("_", "-")


def test_every_command_has_both_forms():
    assert {words.split()[0].replace("_", "-") for words in FORMS} == {command.name for command in COMMANDS}


def test_a_value_may_hold_blanks_and_words_that_look_like_commands():
    given = ["--eval_args={'split': {'RS': [0.8, 0.1, 0.1]}}", "--dataset", "audit", "--withdraw=my file.csv"]
    call = read_call(given)
    assert call.command.name == "compare"
    assert call.given == {
        "eval_args": "{'split': {'RS': [0.8, 0.1, 0.1]}}",
        "dataset": "audit",
        "withdraw": "my file.csv",
    }
    assert read_call(["withdraw", "my model.pth", "a request.csv"]).given == {
        "model_file": "my model.pth",
        "withdraw": "a request.csv",
    }


BAD = {
    "audti .": "'audti' is no command, and not of the form --key=value; did you mean 'audit'?",
    "withdraw": "withdraw: the following arguments are required: MODEL.pth; see withdraw --help",
    "withdraw m.pth r.csv more": "withdraw: unrecognized arguments: more",
    "withdraw m.pth -x": "withdraw: unrecognized arguments: -x",
    "withdraw m.pth r.csv --withdraw=s.csv": "withdraw is given twice, as 'r.csv' and as --withdraw=s.csv",
    "withdraw m.pth --model_file=n.pth": "model_file is given twice",
    "compare --audit=.": "compare takes no --audit, which is a command of its own; name one",
    "verify ledger --audit=.": "--audit and --verify are jobs of their own; name one",
    "--audit=. --due=ledger": "--due and --audit are jobs of their own; name one",
    "--benchmark=a.yaml --audit=.": "--benchmark and --audit are jobs of their own; name one",
    "-x": "'-x' is no command",
    "--alpha": "not of the form --key=value",
    "--version=2": "ignored explicit argument",
}


@pytest.mark.parametrize("arguments", BAD)
def test_what_does_not_fit_is_one_line_and_exit_code_2(arguments, capsys):
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("run_unlearn.py: ")
    assert len(err.splitlines()) == 1
    assert BAD[arguments] in err
    assert list(Path().iterdir()) == []


def test_argv_is_read_by_one_parser_for_options_and_one_for_words(monkeypatch):
    made = []
    real = argparse.ArgumentParser.parse_known_args
    monkeypatch.setattr(
        argparse.ArgumentParser, "parse_known_args", lambda self, *args: made.append(args) or real(self, *args)
    )
    read_call(["withdraw", "m.pth", "r.csv", "--epochs=1"])
    assert [args[0] for args in made] == [["withdraw", "m.pth", "r.csv"], ["m.pth", "r.csv"]]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_fits_one_screen_and_names_every_command(flag, capsys):
    assert main([flag]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    for command in COMMANDS:
        assert any(line.startswith(f"  {command.usage} ") and command.does in line for line in lines)
    assert any("--help=keys" in line for line in lines)


def test_help_of_keys_shows_meanings_and_defaults_in_lines_that_fit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (["--help=keys"], ["--help", "keys"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 80
        text = " ".join(text.split())
        assert "--withdraw_alpha=FLOAT" in text
        assert "strictly between 0 and 100" in text
        assert "Keys of SCIF:" in text
        assert "[5.0]" in text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_has_help_that_fits(command, capsys):
    for arguments in ([command.name, "--help"], [f"--help={command.name}"], ["-h", command.name]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert text.startswith(f"run_unlearn.py {command.usage} ")
        assert max(map(len, text.splitlines())) <= 80


def test_help_of_what_is_no_command_says_so():
    with pytest.raises(ConfigError, match="did you mean 'purge'"):
        read_call(["--help=prge"])


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"recbole_unlearn {__version__}\n"


def test_the_package_runs_as_a_module_and_says_its_own_name(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "recbole_unlearn", "verify", "nowhere"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("python -m recbole_unlearn: --verify: there is no ledger in 'nowhere'")
