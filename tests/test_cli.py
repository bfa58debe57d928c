"""The entry point end to end, and everything that can be given wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recbole_unlearn import run_unlearn
from recbole_unlearn.cli import main
from recbole_unlearn.utils import get_model

ROOT = Path(__file__).parent.parent
QUICK = [
    "--epochs=1",
    "--mf_embedding_size=8",
    "--mlp_embedding_size=8",
    "--mlp_hidden_size=[8]",
    "--mio_protocols=strong",
    "--timing_runs=1",
]


@pytest.fixture
def tiny(data_path):
    return ["--dataset=tiny", f"--data_path={data_path}", *QUICK]


def without_clocks(report):
    clocks = ("seconds", "cpu_seconds", "seconds_range", "speedup", "peak_mb")
    for result in report["methods"].values():
        for clock in clocks:
            result.pop(clock, None)
    report.pop("run")  # the time and the command
    return report


def test_the_main_job(tiny, capsys, tmp_path):
    assert main([*tiny, "--alpha=10", "--output_dir=out"]) == 0
    table = capsys.readouterr().out
    for name in ("Original", "Retrain", "RetrainSVD", "SCIF", "(popularity)"):
        assert f"\n{name} " in table
    report = json.loads(Path("out/report.json").read_text())
    assert report["schema"] == 1
    assert report["request"] | {"digest": ""} == {
        "kind": "users",
        "sample": "rand",
        "alpha": 10.0,
        "n_users": 6,
        "n_rows": report["request"]["n_rows"],
        "n_absent": 0,
        "scope": "train",
        "digest": "",
    }
    assert set(report["methods"]) == {"Original", "Retrain", "RetrainSVD", "SCIF"}
    assert report["methods"]["Original"]["seconds"] is None
    for name in ("Retrain", "RetrainSVD", "SCIF"):
        result = report["methods"][name]
        assert result["seconds"] > 0
        assert result["speedup"] == pytest.approx(report["methods"]["Retrain"]["seconds"] / result["seconds"])
        assert {"retained", "withdrawn", "all"} == set(result["utility"])
        assert (
            result["mio"]["strong"]["auc_low"] <= result["mio"]["strong"]["auc"] <= result["mio"]["strong"]["auc_high"]
        )
    assert report["methods"]["SCIF"]["utility"]["retained"] == report["methods"]["Original"]["utility"]["retained"]
    assert {"damping", "steps", "residual", "gradient_norm"} <= set(report["methods"]["SCIF"]["diagnostics"])
    assert report["references"]["popularity"]["withdrawn"]["ndcg@10"] > 0
    assert len(list(Path("saved").glob("NeuMF-tiny-*-SCIF.pth"))) == 1


def test_the_same_command_in_another_process_gives_the_same_numbers(tiny, capsys):
    arguments = [*tiny, "--methods=Retrain,SCIF"]
    assert main([*arguments, "--output_dir=one"]) == 0
    script = [sys.executable, str(ROOT / "run_unlearn.py"), *arguments, "--output_dir=two"]
    subprocess.run(script, check=True, capture_output=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    one, two = (without_clocks(json.loads(Path(f, "report.json").read_text())) for f in ("one", "two"))
    assert one == two


def test_the_arguments_of_the_process_are_left_alone(tiny, capsys, monkeypatch):
    given = ["mine.py", "--epochs=-1", "what this is, the caller knows"]
    monkeypatch.setattr(sys, "argv", given)
    assert main([*tiny, "--methods=ResetUE", "--output_dir=out"]) == 0
    assert sys.argv is given
    keys = dict(argument.removeprefix("--").split("=", 1) for argument in tiny if "--dataset=" not in argument)
    result = run_unlearn(dataset="tiny", config_dict={**keys, "methods": "ResetUE"}, saved=False, argv=())
    one = without_clocks(json.loads(Path("out/report.json").read_text()))
    assert without_clocks(dict(result["unlearn"]))["methods"] == one["methods"]


def test_validation_leaves_no_stray_checkpoint(tiny, capsys):
    assert main([*tiny, "--protocol=none", "--valid_metric=NDCG@10", "--methods=Retrain,SCIF"]) == 0
    names = sorted(path.name.split("-")[-1] for path in Path("saved").iterdir())
    assert names == ["Original.pth", "Retrain.pth", "SCIF.pth"]


def test_a_folder_may_be_a_number_and_a_model_may_be_a_class(data_path):
    class Mine(get_model("NeuMF")):
        pass

    keys = dict(argument.removeprefix("--").split("=", 1) for argument in QUICK)
    keys |= {"data_path": data_path, "output_dir": 2024, "methods": ["SCIF"]}
    result = run_unlearn(Mine, "tiny", config_dict=keys)
    assert result["unlearn"]["model"] == "Mine"
    assert Path("2024/report.json").is_file()


def test_the_same_command_twice_and_from_the_saved_request(tiny, capsys):
    methods = "--methods=ResetUE,SCIF"
    assert main([*tiny, methods, "--output_dir=one"]) == 0
    assert main([*tiny, methods, "--output_dir=two"]) == 0
    assert main([*tiny, methods, "--output_dir=three", "--withdraw=one/request.json"]) == 0
    one, two, three = (without_clocks(json.loads(Path(f, "report.json").read_text())) for f in ("one", "two", "three"))
    assert one == two
    assert three["request"]["digest"] == one["request"]["digest"]
    assert three["methods"] == one["methods"]


def test_scope_all_and_a_request_file(tiny, capsys):
    Path("r.csv").write_text("user_id\nu3\nu4\n")
    assert main([*tiny, "--withdraw=r.csv", "--withdraw_scope=all", "--ledger_dir=ledger", "--methods=SCIF"]) == 0
    report = json.loads(Path("output/report.json").read_text())
    assert report["request"]["n_users"] == 2
    assert report["request"]["alpha"] is None
    assert report["methods"]["SCIF"]["mio"]["strong"]["auc"] is not None


def test_a_model_without_adapter_still_retrains(data_path, capsys):
    assert main(["--model=DMF", "--dataset=tiny", f"--data_path={data_path}", "--epochs=1", "--methods=Retrain"]) == 0
    report = json.loads(Path("output/report.json").read_text())
    assert "DMF has no user rows" in report["methods"]["Retrain"]["mio"]["strong"]["reason"]


BAD = {
    "unknown user": (["--withdraw=bad.csv"], "user tokens are not in the data set"),
    "unknown method": (["--methods=SCFI"], "did you mean 'SCIF'"),
    "unknown model": (["--model=NeuFM"], "did you mean 'NeuMF'"),
    "unknown data set": (["--dataset=nowhere"], "neither in"),
    "missing file": (["--withdraw=none.csv"], "does not exist"),
    "empty file": (["--withdraw=empty.csv"], "is empty"),
    "malformed csv": (["--withdraw=malformed.csv"], "line 3 has 3 fields"),
    "NaN in the file": (["--withdraw=nan.csv"], "line 2 has an empty token or NaN"),
    "every user": (["--withdraw=everyone.csv"], "withdraws all"),
    "alpha 0": (["--alpha=0"], "strictly between 0 and 100"),
    "alpha 100": (["--alpha=100"], "strictly between 0 and 100"),
    "alpha NaN": (["--alpha=nan"], "it must be of type float"),
    "typo in a key": (["--dampping=1"], "did you mean 'damping'"),
    "typo in a flag": (["--method=SCIF"], "did you mean 'methods'"),
    "no value": (["--alpha"], "not of the form --key=value"),
    "a bare word": (["SCIF"], "not of the form --key=value"),
    "given twice": (["--alpha=3", "--withdraw_alpha=4"], "given twice"),
    "missing config file": (["--config_files=none.yaml"], "does not exist"),
    "negative ridge": (["--ridge=-1"], "SCIF: ridge is -1"),
    "output is a file": (["--output_dir=bad.csv/x"], "cannot be written"),
    "checkpoints in a file": (["--checkpoint_dir=bad.csv/x"], "checkpoint_dir 'bad.csv/x' cannot be written"),
    "a column that is not there": (["--USER_ID_FIELD=nope"], "check USER_ID_FIELD"),
    "an empty request path": (["--withdraw="], "request file '.' cannot be read"),
    "an empty output path": (["--output_dir="], "output_dir is empty"),
    "a wrong number": (["--seed=-1"], "seed is -1"),
    "no adapter": (
        ["--model=MultiDAE", "--methods=SCIF", "--train_neg_sample_args=None"],
        "MultiDAE scores and learns the whole list",
    ),
    "empty topk": (["--topk=[]"], "topk is []"),
    "empty metrics": (["--metrics=[]"], "metrics is empty"),
    "a headline that is not computed": (["--topk=[5]"], "valid_metric is 'NDCG@10'"),
    "no test part": (["--eval_args={'split': {'RS': [1, 0, 0]}}"], "parts of"),
    "two parts": (["--eval_args={'split': {'RS': [0.8, 0.2]}}"], "split {'RS': [0.8, 0.2]}"),
    "no user left": (["--user_inter_num_interval=[1000,inf)"], "cannot be loaded"),
    "a word for sizes": (["--mlp_hidden_size=abc"], "cannot be trained with these settings"),
    "no layer": (["--mlp_hidden_size=[]"], "cannot be trained with these settings"),
    "dropout 7": (["--dropout_prob=7"], "cannot be trained with these settings"),
    "no part of the model": (["--mf_train=False", "--mlp_train=False"], "cannot be trained with these settings"),
    "pairs without negatives": (["--model=BPR", "--train_neg_sample_args=None"], "BPR pairs an observed item"),
    "a cache": (["--save_dataloaders=True"], "would keep the withdrawn rows"),
    "a list as folder": (["--data_path=['a']"], "data_path"),
    "a number for clipping": (["--clip_grad_norm=5"], "clip_grad_norm is 5; it must be a dict"),
    "a wrong key for clipping": (["--clip_grad_norm={'norm': 5}"], "unexpected keyword argument 'norm'"),
    "negative decimals": (["--loss_decimal_place=-1"], "loss_decimal_place is -1; allowed: 0 to 20"),
    "a list longer than the catalogue": (["--topk=[10,2000]"], "the data set has 40 items"),
    "an encoding": (["--encoding=foo"], "unknown encoding: foo"),
    "a number for columns": (["--load_col=5"], "cannot be loaded: TypeError"),
    "a number for the separator": (["--field_separator=5"], "cannot be loaded: TypeError"),
    "a number for fields": (["--numerical_features=5"], "cannot be loaded: TypeError"),
    "a number for an alias": (["--alias_of_user_id=5"], "cannot be loaded: TypeError"),
    "a word for an interval": (["--user_inter_num_interval=abc"], "user_inter_num_interval is 'abc'; write intervals"),
    "an interval of words": (["--item_inter_num_interval=[a,b]"], "item_inter_num_interval is '[a,b]'"),
    "an interval from right to left": (["--user_inter_num_interval=[9,5]"], "user_inter_num_interval is '[9,5]'"),
    "popular negatives": (["--train_neg_sample_args={'distribution': 'popularity'}"], "RetrainSVD cannot follow"),
    "dynamic negatives": (
        ["--train_neg_sample_args={'dynamic': True, 'candidate_num': 2}", "--methods=SCIF"],
        "dynamic is True, which SCIF cannot follow",
    ),
    "no negative": (["--train_neg_sample_args={'sample_num': 0}"], "sample_num is 0; allowed: 1 or more"),
    "digits without end": (["--withdraw=digits.json"], "no valid json"),
    "a model of sequences without times": (["--model=DIEN", "--train_neg_sample_args=None"], "no column 'timestamp'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(case, tiny, capsys):
    arguments, message = BAD[case]
    Path("bad.csv").write_text("user_id\nu3\nnobody\n")
    Path("empty.csv").write_text("")
    Path("malformed.csv").write_text("user_id,item_id\nu3,i1\nu3,i1,i2\n")
    Path("digits.json").write_text('{"users": [' + "1" * 5000 + "]}")
    Path("nan.csv").write_text("user_id\nNaN\n")
    Path("everyone.csv").write_text("user_id\n" + "\n".join(f"u{k}" for k in range(60)))
    before = sorted(Path().rglob("*"))
    keep = [a for a in tiny if not any(a.split("=")[0] == given.split("=")[0] for given in arguments)]
    if "--model" in "".join(arguments):
        keep = [a for a in keep if not a.startswith("--m")]
    assert main([*keep, *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert "Traceback" not in captured.err
    assert sorted(Path().rglob("*")) == before


def test_all_output_survives_cp1252_and_fits_80_columns(tiny):
    keys = [key for key in tiny if "mio_protocols" not in key]
    comparison = [*keys, "--methods=SCIF", "--mio_protocols=refit", "--report_html=True"]
    commands = [["--help"], ["--help=keys"], ["explain", "SCIF"], ["--version"], comparison]
    code = f"from recbole_unlearn.cli import main; [print(f'END {{main(each)}}') for each in {commands!r}]"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "OMP_NUM_THREADS": "1", "COLUMNS": "80"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    done.stderr.decode("cp1252")
    *shown, report, nothing = done.stdout.decode("cp1252").split("END 0")
    assert (len(shown), nothing.strip()) == (4, "")
    assert "?" not in "".join(shown)
    assert "?" not in report.replace("]?", "").replace("?: of", "")  # that marks what cannot be told
    assert "P3 NDCG@10" in report
    assert max(map(len, report.splitlines())) <= 80


def test_a_letter_that_the_code_page_lacks_is_a_question_mark(tmp_path):
    code = "from recbole_unlearn.cli import main; main(['--version']); print('\\u2192')"
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=300)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == b"?"


def test_what_was_written_comes_last_and_earlier_reports_stay(tiny, capsys):
    command = [*tiny, "--methods=ResetUE", "--report_html=True"]
    earlier = set()
    for number in (1, 2):
        assert main(command) == 0
        out = capsys.readouterr().out
        listed = [line.removeprefix("  ") for line in out.partition("\nWritten:\n")[2].splitlines()]
        assert all(Path(path).is_file() for path in listed)
        kept = set(Path("output/reports").glob("*.json"))
        assert len(kept) == number
        (new,) = kept - earlier  # not the last by name: within one second the second one is called ...-2
        earlier = kept
        names = ["output/report.json", "output/report.html", "output/request.json"]
        names += [str(new), str(new.with_suffix(".html"))]
        names += [str(path) for path in Path("saved").glob("*.pth")]
        assert sorted(listed) == sorted(names)
        assert Path("output/report.json").read_bytes() == new.read_bytes()
    assert out.index("P1 completeness") < out.index("Written:")


def test_words_and_keys_give_the_same_report(tiny, capsys):
    Path("r.csv").write_text("user_id\nu3\nu4\n")
    assert main([*tiny, "--methods=ResetUE", "--output_dir=one", "--withdraw=r.csv"]) == 0
    assert main(["compare", "r.csv", *tiny, "--methods=ResetUE", "--output_dir=two"]) == 0
    one, two = (without_clocks(json.loads(Path(f, "report.json").read_text())) for f in ("one", "two"))
    assert one == two


def test_other_failures_end_with_code_1(tmp_path):
    script = (
        "import sys; import recbole_unlearn.quick_start as q\n"
        "def broken(*a, **k): raise RuntimeError('a bug')\n"
        "q.run_unlearn = broken\n"
        "from recbole_unlearn.cli import main; sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "a bug" in done.stderr


def test_the_script_of_the_checkout_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_unlearn.py"), "--alpha=0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("run_unlearn.py: withdraw_alpha is 0;")
    assert list(tmp_path.iterdir()) == []
