"""A data set of your own: a tab-separated file with a typed header, in a folder of its name."""

from pathlib import Path

import numpy as np

from recbole_unlearn import run_unlearn


def write(folder: Path, users: int = 80, items: int = 50) -> None:
    """Write dataset/shop/shop.inter: who bought what. Half of the users buy the even items, half the odd ones."""
    rng = np.random.default_rng(0)
    lines = ["user_id:token\titem_id:token"]
    for user in range(users):
        lines += [f"u{user}\ti{item}" for item in rng.permutation(np.arange(user % 2, items, 2))[:12]]
    (folder / "shop").mkdir(parents=True, exist_ok=True)
    (folder / "shop" / "shop.inter").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write(Path("dataset"))
    Path("withdraw.csv").write_text("user_id\nu3\nu8\n")
    keys = {
        "data_path": "dataset",
        "load_col": {"inter": ["user_id", "item_id"]},
        "withdraw": "withdraw.csv",
        "methods": ["Retrain", "SCIF"],
    }
    result = run_unlearn("NeuMF", "shop", config_dict=keys)
    print("rows", result["unlearn"]["request"]["n_rows"])
    for name, figures in result["unlearn"]["methods"].items():
        print(name, figures["seconds"], figures["utility"]["retained"])
