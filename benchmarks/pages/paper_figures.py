"""Figures 3, 7 and 8 as svg into docs/figures."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.pages.records import PAPER, ROOT, average, column, deviation, distinct, papers

FOLDER = ROOT / "docs" / "figures"
ABLATION = ("IF", "SIF", "CIF", "SCIF")
CLOCKED = ("Retrain", "SISA", "RecEraser", *ABLATION)
SHORT = {"amazon-digital-music-5core": "ADM"}
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
            kind = {"relative": "as in eq. 8"}.get(form, "debiased")
            shares = sorted({line["request"]["alpha"] for line in lines})
            axis.set(xlabel="users withdrawn (%)", title=f"{model}, {kind}", ylim=(-0.1, None), xticks=shares)
        row[0].set_ylabel("relative CKA")
    axes[0, 0].legend(frameon=False)
    cells = [line["cell"] for line in lines]
    seeds = len(distinct(cells, "seed"))
    figure.suptitle(", ".join([*distinct(cells, "dataset"), "one seed" if seeds == 1 else f"{seeds} seeds"]))
    return save(figure, "figure3", folder)


def curve(lines, name, form):
    """Return the shares of withdrawn users, ascending, and the mean over seeds at each."""
    points = [{"alpha": line["request"]["alpha"], "value": line["cka"]["RetrainAgain"][name][form]} for line in lines]
    shares = sorted({point["alpha"] for point in points if point["value"] is not None})
    return shares, [average(points, "value", alpha=share) for share in shares]


def figure7(times, folder=FOLDER):
    """Seconds of unlearning 5 % of the users on a logarithmic scale, with the factor against Retrain and the printed one."""
    rows = [row for row in times if row["request"] == "rand@5" and row["seconds"] and row["method"] in CLOCKED]
    if not rows:
        return None
    sets = distinct(rows, "dataset")
    figure, axes = plt.subplots(1, len(sets), figsize=(4.2 * len(sets), 2.6), squeeze=False)
    for axis, dataset in zip(axes[0], sets, strict=True):
        part = [row for row in rows if row["dataset"] == dataset]
        bars = [bar for method in CLOCKED for bar in clock_bars(part, method)]
        means, spread = ([take(seconds) for _, seconds, _ in bars] for take in (np.mean, deviation))
        drawn = axis.barh([name for name, *_ in bars], means, xerr=spread, color="C0", error_kw={"lw": 0.8})
        axis.bar_label(drawn, [label for *_, label in bars], padding=3, fontsize=7)
        axis.set(xscale="log", xlabel="seconds", title=SHORT.get(dataset, dataset))
        axis.set_xlim(right=axis.get_xlim()[1] * 300)  # room for the labels
        axis.invert_yaxis()
    return save(figure, "figure7", folder)


def clock_bars(rows, method):
    """Yield name, seconds and label of a method's bars: shards have a second one, a machine for each of them."""
    clocks = {method: ("seconds", "speedup")}
    if column(rows, "parallel_speedup", method=method):
        clocks[f"{method}, parallel"] = ("parallel_seconds", "parallel_speedup")
    for name, (seconds, faster) in clocks.items():
        values, factors = (column(rows, figure, method=method) for figure in (seconds, faster))
        printed = PAPER["figure7"].get(method) if name != "RecEraser" else None
        if values:
            label = f"{figures(values)} s, {figures(factors)} x" + (f" (printed {printed})" if printed else "")
            yield name, values, label


def figures(values):
    """Return the mean over seeds in two significant figures, in full where it is large."""
    return f"{np.mean(values):,.0f}" if np.mean(values) >= 10 else f"{np.mean(values):.2g}"


def figure8(rows, folder=FOLDER):
    """AUC of the strong oracle, and NDCG@10 of all users as a share of Retrain's, with and without the paper's two ideas."""
    rows = [row for row in rows if row["request"] == "rand@5" and row["method"] in (*ABLATION, "Retrain")]
    settings = distinct([{**row, "of": (row["model"], row["dataset"])} for row in rows], "of")
    if not settings:
        return None
    figure, axes = plt.subplots(2, len(settings), figsize=(2.2 * len(settings) + 1, 4.4), squeeze=False, sharey="row")
    for (model, dataset), column_of_axes in zip(settings, axes.T, strict=True):
        part = [row for row in rows if (row["model"], row["dataset"]) == (model, dataset)]
        exact = {row["seed"]: row for row in part if row["method"] == "Retrain"}
        shares = [
            {**row, "share": row["all_ndcg@10"] / exact[row["seed"]]["all_ndcg@10"]}
            for row in part
            if row["seed"] in exact
        ]
        for axis, known, name in zip(column_of_axes, (part, shares), ("strong_auc", "share"), strict=True):
            values = [column(known, name, method=method) or [np.nan] for method in ABLATION]
            means, spread = ([take(each) for each in values] for take in (np.mean, deviation))
            axis.errorbar(ABLATION, means, yerr=spread, fmt="o", capsize=3)
            axis.margins(0.15)
            axis.axhline(
                average(known, name, method="Retrain") or np.nan, color="black", lw=1, ls="--", label="Retrain"
            )
        printed = {name: papers("table2", dataset, model, "rand@5", name) for name in ("IF", "SCIF")}
        points = {name: value[1] for name, value in printed.items() if value}
        column_of_axes[0].plot(list(points), list(points.values()), "D", color="C1", label="printed")
        column_of_axes[0].set(title=f"{model}, {SHORT.get(dataset, dataset)}")
    axes[0, 0].set_ylabel("strong oracle AUC")
    axes[1, 0].set_ylabel("NDCG@10, all users,\nshare of Retrain's")
    axes[0, 0].legend(frameon=False, fontsize=7)
    return save(figure, "figure8", folder)
