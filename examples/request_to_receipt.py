"""One request for erasure, from the mail to the receipt that answers it."""

import json
import re
from pathlib import Path

from recbole_unlearn import Config, load_data_and_model, train_model, withdraw_from_model
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.after import ledger_folder

MAIL = """From: Ada <ada@example.org>
Subject: Erase my data (GDPR, article 17)

Please erase what you hold of me. My customer number is 196.
"""

if __name__ == "__main__":
    # What runs every day: a model that was trained on everybody.
    config = Config("NeuMF", "ml-100k")
    train_model(config, create_dataset(config)).save("saved/model.pth")

    # 1. The mail becomes a request: a file with the tokens of the data set. Check who wrote it before you go on.
    (customer,) = re.findall(r"customer number is (\w+)", MAIL)
    Path("request.json").write_text(json.dumps({"users": [customer]}))

    # 2. What would go; nothing is written.
    planned = withdraw_from_model("saved/model.pth", {"withdraw": "request.json", "dry_run": True})
    print("would go:", planned["plan"]["rows"])

    # 3. The model is replaced by one without her, what items learned of her included, and the ledger records it.
    done = withdraw_from_model("saved/model.pth", {"withdraw": "request.json", "methods": "RetrainSVD"})
    (receipt,) = done["receipts"]

    # 4. Request and mail name her; the ledger knows her by a keyed hash. The audit finds whatever else still does.
    Path("request.json").unlink()
    main(["--audit=saved", "--dataset=ml-100k", f"--ledger_dir={ledger_folder(config)}"])
    assert main([f"--verify={ledger_folder(config)}"]) == 0

    # 5. The answer: what was done, when, and how it can be checked. It does not name her.
    facts = json.loads(Path(receipt).read_text())
    print("receipt:", receipt, sorted(facts))
    _, _, dataset, *_ = load_data_and_model("saved/model.pth")
    print("a later load knows her:", customer in dataset.field2token_id["user_id"])
