"""Figures 3, 7 and 8 as svg into docs/figures."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from records import PAPER, ROOT, average, column, deviation, distinct

FOLDER = ROOT / "docs" / "figures"
ABLATION = ("IF", "SIF", "CIF", "SCIF")
NAMES = {"users_withdrawn": "users, withdrawn", "users_retained": "users, retained", "items": "items"}
mpl.use("svg")
mpl.rcParams.update(
    {"svg.hashsalt": "recbole_unlearn", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
)


def save(figure, name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
    return name


def figure3(lines, folder=FOLDER):
    """Relative CKA over the share of withdrawn users, mean over seeds: plain as in the paper, and debiased."""
    if not lines:
        return None
    models = distinct([line["cell"] for line in lines], "model")
    figure, axes = plt.subplots(len(models), 2, figsize=(8, 2.6 * len(models)), sharey=True, squeeze=False)
    for row, model in zip(axes, models, strict=True):
        for axis, form in zip(row, ("relative", "relative_debiased"), strict=True):
            for name, label in NAMES.items():
                axis.plot(
                    *curve([line for line in lines if line["model"] == model], name, form), marker="o", label=label
                )
            kind = {"relative": "relative CKA (eq. 8)"}.get(form, "debiased")
            axis.set(xlabel="users withdrawn (%)", title=f"{model}, {kind}", ylim=(min(0, axis.get_ylim()[0]), None))
    axes[0, 0].legend(frameon=False)
    return save(figure, "figure3", folder)


def curve(lines, name, form):
    """Return the shares of withdrawn users, ascending, and the mean over seeds at each."""
    points = [{"alpha": line["request"]["alpha"], "value": line["cka"]["RetrainAgain"][name][form]} for line in lines]
    shares = sorted({point["alpha"] for point in points if point["value"] is not None})
    return shares, [average(points, "value", alpha=share) for share in shares]


def figure7(times, folder=FOLDER):
    """Seconds of unlearning 5 % of the users on a logarithmic scale."""
    rows = [row for row in times if row["request"] == "rand@5" and row["seconds"]]
    if not rows:
        return None
    methods = distinct(rows, "method")
    figure, axis = plt.subplots(figsize=(7, 3))
    sets = distinct(rows, "dataset")
    for number, dataset in enumerate(sets):
        heights = [np.median(column(rows, "seconds", dataset=dataset, method=name) or [np.nan]) for name in methods]
        places = np.arange(len(methods)) + 0.8 * number / len(sets)
        bars = axis.bar(places, heights, 0.8 / len(sets), label=dataset)
        axis.bar_label(bars, [f"{height:.2g}" for height in heights], fontsize=7)
    axis.set(yscale="log", ylabel="seconds")
    axis.set_xticks(np.arange(len(methods)) + 0.4 * (len(sets) - 1) / len(sets), methods)
    axis.legend(frameon=False)
    axis.set_title(
        "printed: Retrain over method " + ", ".join(f"{k} {v}" for k, v in PAPER["figure7"].items()), fontsize=8
    )
    return save(figure, "figure7", folder)


def figure8(rows, folder=FOLDER):
    """AUC of the strong oracle and NDCG@10 of all users, with and without selection and collaboration."""
    rows = [row for row in rows if row["request"] == "rand@5" and row["method"] in (*ABLATION, "Retrain")]
    settings = distinct([{**row, "of": (row["model"], row["dataset"])} for row in rows], "of")
    if not settings:
        return None
    figure, axes = plt.subplots(2, len(settings), figsize=(2.6 * len(settings) + 1, 5), squeeze=False)
    for place, (model, dataset) in enumerate(settings):
        for axis, name in zip(axes[:, place], ("strong_auc", "all_ndcg@10"), strict=True):
            values = [column(rows, name, model=model, dataset=dataset, method=m) or [np.nan] for m in ABLATION]
            axis.bar(
                ABLATION, [np.mean(part) for part in values], yerr=[deviation(part) for part in values], color="C0"
            )
            exact = column(rows, name, model=model, dataset=dataset, method="Retrain")
            if exact:
                axis.axhline(np.mean(exact), color="black", lw=1, ls="--", label="Retrain")
        axes[0, place].set(title=f"{model}, {dataset}", ylim=(0.4, 0.65))
    axes[0, 0].set_ylabel("strong oracle AUC")
    axes[1, 0].set_ylabel("NDCG@10, all users")
    axes[0, 0].legend(frameon=False)
    return save(figure, "figure8", folder)
