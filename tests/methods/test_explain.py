"""``--explain`` and ``--dry_run``."""

from pathlib import Path

import numpy as np
import pytest

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.cli import main
from recbole_unlearn.compare.dry_run import what_would_go
from recbole_unlearn.methods.explain import explain
from recbole_unlearn.settings import presets
from recbole_unlearn.shards.partition import partition
from recbole_unlearn.utils import get_method


@pytest.mark.parametrize("name", presets.names("method"))
def test_every_method_says_its_formula_and_its_cost(name):
    text = explain(name)
    assert text.startswith(f"{name}: ")
    assert "Formula: " in text
    assert "Cost: " in text
    for key in presets.keys("method", name):
        assert f"--{key.name}=" in text


def test_explain_on_the_command_line(capsys):
    assert main(["--explain=SCIF"]) == 0
    assert capsys.readouterr().out == explain("SCIF")
    assert main(["--explain=SCFI"]) == 2
    assert "did you mean 'SCIF'?" in capsys.readouterr().err
    assert main(["--explain=SCIF", "--alpha=5"]) == 2
    assert "stands alone" in capsys.readouterr().err


def test_a_dry_run_tells_what_goes(trained):
    data, config = trained.dataset, trained.config
    rows = data.interactions()
    (user,) = rows.user_ids(["u3"])
    withdrawal = WithdrawalRequest.users(["u3"]).resolve(rows, "all")
    methods = [get_method(config, name) for name in ("SCIF", "SISA", "RecEraser")]
    plan = what_would_go(data, withdrawal, methods)
    lost = [int((data.interactions(part).users == user).sum()) for part in range(3)]
    assert plan["rows"] == dict(zip(("train", "valid", "test"), lost, strict=True))
    assert plan["users"] == {"named": 1, "lose_rows": 1}
    assert plan["shards"]["RecEraser"] == [1, 8]  # all rows of a user stay together
    shards = partition(rows, "random", 8, config["seed"])
    assert plan["shards"]["SISA"] == [len(np.unique(shards[rows.users == user])), 8]


def test_a_dry_run_writes_nothing(data_path, capsys):
    Path("request.csv").write_text("user_id\nu3\n")
    arguments = ["--dataset=tiny", f"--data_path={data_path}", "--withdraw=request.csv", "--methods=Retrain,RecEraser"]
    assert main([*arguments, "--dry_run=True"]) == 0
    told = capsys.readouterr().out
    assert "1 whole users" in told
    assert "RecEraser would train 1 of 8 shards anew" in told
    assert told.endswith("nothing was written\n")
    assert [path.name for path in Path().iterdir()] == ["request.csv"]


def test_a_request_file_is_enough(capsys):
    Path("request.csv").write_text("user_id\n196\n22\n")
    assert main(["--withdraw=request.csv", "--dry_run=True"]) == 0
    assert "(scope train): 2 whole users" in capsys.readouterr().out
