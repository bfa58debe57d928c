"""Find what is left on disk of withdrawn users, and check the ledger."""

import sys
from pathlib import Path

from recbole_unlearn import Config, train_model
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.after import ledger_folder

if __name__ == "__main__":
    config = Config("NeuMF", "ml-100k")
    train_model(config, create_dataset(config)).save("saved/model.pth")
    Path("withdraw.csv").write_text("user_id\n196\n22\n")
    Path("saved/old-recommendations.csv").write_text("user_id,item_id\n196,302\n7,50\n")  # an old export

    assert main(["--model_file=saved/model.pth", "--withdraw=withdraw.csv"]) == 0
    Path("withdraw.csv").unlink()  # the ledger knows the users by keyed hashes
    audit = ["--audit=saved", "--dataset=ml-100k", f"--ledger_dir={ledger_folder(config)}"]
    print("found", main(audit))  # 1: the export still names user 196
    Path("saved/old-recommendations.csv").unlink()
    print("left", main([*audit, "--report=audit.json"]))
    sys.exit(main([f"--verify={ledger_folder(config)}"]))
