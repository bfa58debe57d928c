"""What a report says of its run."""

import json
from datetime import datetime
from pathlib import Path

from recbole_unlearn import run_unlearn
from recbole_unlearn.compare.identity import identity_of
from recbole_unlearn.data import create_dataset


def test_a_run_is_told_by_its_keys_and_its_data_but_no_path(make_config, tmp_path):
    config = make_config("BPR", epochs=3, withdraw=str(tmp_path / "people.csv"), output_dir=str(tmp_path))
    told = identity_of(config, create_dataset(config), datetime(2026, 11, 27, 14, 15, 22))
    assert told["time"] == "2026-11-27T14:15:22Z"
    assert told["command"].startswith("run_unlearn.py --model=BPR --dataset=tiny ")
    assert " --epochs=3" in told["command"]
    assert "people" not in told["command"]
    assert str(tmp_path) not in json.dumps(told)
    assert (told["users"], told["items"], told["epochs"]) == (60, 40, 3)
    assert sum(told["rows"]) == len(create_dataset(config).inter_feat)


def test_the_report_and_its_page_carry_it(data_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = {
        "data_path": data_path,
        "epochs": 1,
        "methods": ["Retrain"],
        "mio_protocols": ["refit"],
        "report_html": True,
    }
    for _ in range(2):
        run_unlearn("BPR", "tiny", config_dict={**keys, "embedding_size": 8}, saved=False, argv=())
    report = json.loads(Path("output/report.json").read_text())
    assert report["run"]["command"].startswith("run_unlearn.py --model=BPR --dataset=tiny")
    first = min(path.stem for path in Path("output/reports").glob("*.json"))
    assert first in Path("output/report.html").read_text()  # among the earlier runs
