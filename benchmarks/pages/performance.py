"""Write the tables of docs/performance.md and docs/cluster.md: python -m benchmarks.pages.performance"""

import itertools
import json
import statistics

import tabulate

from benchmarks.pages.paper_figures import FOLDER, plt, save
from benchmarks.pages.records import RESULTS, commit_of, pooled, write_between

# What the project aims at, as a ratio to stock.
GOALS = {"loading": 4, "batches": 3, "neumf_epoch": 2.5, "neumf_evaluation": 12, "lightgcn_epoch": 12}
# What grows: the key of its size in scale-grow.json, and what it is called.
GROWING = {
    "rows": ("rows_of_one", "rows of the user"),
    "items": ("items", "items"),
    "dims": ("dims", "dimensions of each table"),
}
AGAINST_STOCK = {
    "loading": "loading, .inter to dataloaders",
    "batches": "one epoch of batches with negatives (NeuMF)",
    "neumf_epoch": "NeuMF training epoch",
    "neumf_evaluation": "NeuMF full-sort evaluation",
    "neumf_default_evaluation": "the same, eval_batch_size not given",
    "lightgcn_epoch": "LightGCN training epoch, 3 layers, 64 dimensions",
    "lightgcn_default_evaluation": "LightGCN full-sort evaluation, eval_batch_size not given",
}


def milliseconds(times):
    return f"{1e3 * times['median']:.2f} ({1e3 * times['min']:.2f} to {1e3 * times['max']:.2f})"


def seconds(times):
    return f"{times['median']:.3g} ({times['min']:.3g} to {times['max']:.3g})"


def anomaly(path):
    rows = [
        [
            name,
            part["steps"],
            seconds(part["on"]),
            seconds(part["off"]),
            f"{part['on']['median'] / part['off']['median']:.1f}",
        ]
        for name, part in json.loads(path.read_text()).items()
    ]
    head = ["model, data", "steps", "s an epoch with it", "without", "ratio"]
    return tabulate.tabulate(rows, head, tablefmt="github") + "\n"


def memory(path):
    """Return the table of epochs with freed memory kept in the process, and returned to the system."""
    rows = []
    for name, part in json.loads(path.read_text()).items():
        for way in ("returned", "kept"):
            told = part[way]
            pages = told["faults"]["median"] / told["steps"]["median"]
            rows.append([name, way, seconds(told["seconds"]), seconds(told["system"]), f"{pages:,.0f}"])
        faster = part["returned"]["seconds"]["median"] / part["kept"]["seconds"]["median"]
        rows[-1] += [f"{faster:.2f}", part["threads"], part["load"]]
    head = ["model, data", "freed memory is", "s an epoch", "of it the system's, all cores", "page faults a step"]
    return (
        tabulate.tabulate(rows, [*head, "times faster", "threads", "load"], tablefmt="github", disable_numparse=True)
        + "\n"
    )


def cluster(path):
    """Return the table of docs/cluster.md: seconds until all shards are trained."""
    rows = []
    for name, part in json.loads(path.read_text()).items():
        here, one, two = (part["workers"][workers] for workers in ("0", "1", "2"))
        faster = [f"{one['median'] / two['median']:.2f}", f"{here['median'] / two['median']:.2f}"]
        rows.append([name, part["shards"], *map(seconds, (here, one, two)), *faster, part["load"]])
    head = ["model, data", "shards", "s here, in turn", "1 worker", "2 workers", "2 over 1", "2 over here", "load"]
    return tabulate.tabulate(rows, head, tablefmt="github") + "\n"


def one_person(path):
    """Return the table of one person: each two commits that were measured in turns, the earlier one first."""
    lines = sorted(map(json.loads, path.read_text().splitlines()), key=lambda line: (line["model"], line["threads"]))
    rows, turns = [], zip(lines[::2], lines[1::2], strict=True)
    for _, group in itertools.groupby(turns, lambda turn: [settings_of(line) for line in turn]):
        for runs in zip(*group, strict=True):
            first = statistics.median(line["first"] for line in runs)
            spreads = [pooled(line[key] for line in runs) for key in ("sequence", "whole")]
            rows.append([*settings_of(runs[0]), len(runs), f"{1e3 * first:.0f}", *map(milliseconds, spreads)])
    head = ["model", "threads", "commit", "processes", "first call", "calls after it", "the same, and a user served"]
    return tabulate.tabulate(rows, head, tablefmt="github") + "\n"


def settings_of(line):
    """Return the settings of a line of one person."""
    return line["model"], line["threads"], commit_of(line)


def where(parts):
    some = next(iter(parts.values()))
    loads = [part["load"] for part in parts.values()]
    return (
        f"torch {some['torch']}, {some['threads']} threads on {some['cores']} cores, commit {commit_of(some)}, "
        f"load {min(loads)} to {max(loads)} while it ran"
    )


def against_stock(path):
    parts = json.loads(path.read_text())
    rows = []
    for name, label in AGAINST_STOCK.items():
        if name in parts:
            part = parts[name]
            same = [f"{key.replace('_', ' ')} {part[key]:.1e}" for key in part if key.endswith("_difference")]
            figures = [f"{seconds(part[who])}, {part[who]['runs']} runs" for who in ("stock", "ours")]
            steps = f" ({part['steps']} steps)" if "steps" in part else ""
            rows.append([label + steps, *figures, f"{part['ratio']:.1f}", GOALS.get(name, ""), ", ".join(same)])
    head = ["seconds, median (least to greatest)", "stock RecBole", "recbole_unlearn", "ratio", "goal", "same as stock"]
    text = f"**{path.stem.removeprefix('speed-')}**, {where(parts)}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"
    if "lightgcn_withdrawal" in parts:
        part = parts["lightgcn_withdrawal"]
        text += (
            f"\nOne user out of a loaded LightGCN ({part['edges']} edges), ms: graph changed {milliseconds(part['change'])}, "
            f"graph rebuilt {milliseconds(part['rebuild'])}; propagation, when it is next needed, "
            f"{milliseconds(part['propagation'])}.\n"
        )
    if "product" in parts:
        part = parts["product"]
        text += (
            f"\nOne Gauss-Newton product over all rows of NeuMF: {seconds(part['ours'])} s, 1/{part['ratio']:.1f} of our "
            f"training epoch ({seconds(part['epoch'])} s).\n"
        )
    return text


def one_request(path):
    parts = json.loads(path.read_text())
    rows = [
        [
            part["users"],
            part["kind"],
            part["rows"],
            f"{part['tables_mb']:.0f}",
            milliseconds(part),
            part["diagnostics"]["steps"],
            f"{part['diagnostics']['residual']:.0e}",
        ]
        for part in parts.values()
    ]
    head = ["users", "what leaves", "training rows", "tables, MB", "ms a request", "Newton steps", "residual"]
    return f"**SCIF, NeuMF, one user with 100 rows**, {where(parts)}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"


def batch(path):
    parts = json.loads(path.read_text())
    rows = [
        [
            f"rand@{part['alpha']:g}",
            part["users"],
            part["forgotten"],
            f"{part['seconds']:.2f}",
            f"{1e6 * part['seconds'] / part['forgotten']:.2f}",
            f"{part['peak_mb']:.0f}",
            f"{part['resident_mb']:.0f}",
        ]
        for part in parts.values()
    ]
    total = next(iter(parts.values()))["rows"]
    head = ["request", "users", "rows forgotten", "s", "µs a row", "peak above, MB", "resident, MB"]
    return f"**SCIF, {total} rows in all**, {where(parts)}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"


def loading(path):
    parts = json.loads(path.read_text())
    rows = [
        [
            part["rows"],
            f"{part['seconds']:.1f}",
            f"{part['peak_mb']:.0f}",
            f"{1e6 * part['peak_mb'] / part['rows']:.0f}",
        ]
        for part in parts.values()
    ]
    head = ["rows", "s", "peak, MB", "bytes a row"]
    return f"**The Dataset, two columns**, {where(parts)}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"


def disk(path):
    parts = json.loads(path.read_text())
    rows = [[part["users"], f"{part['mb']:.0f}", milliseconds(part["replace"])] for part in parts.values()]
    head = ["users", "checkpoint, MB", "ms to replace it whole"]
    return f"**A checkpoint on disk**, {where(parts)}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"


def many_rows(path):
    """Return the table of a world on disk: a row for each step, for each size its seconds and peak memory."""
    parts = json.loads(path.read_text())
    sizes = sorted({part["rows"] for part in parts.values()})
    steps = list(dict.fromkeys(name.split(", ", 1)[1] for name in parts))
    rows = [[step, *(cell for size in sizes for cell in of_step(parts, size, step))] for step in steps]
    head = ["", *(f"{size // 10**6} M rows: {what}" for size in sizes for what in ("s", "peak, MB", "bytes a row"))]
    others = sorted({part["others"] for part in parts.values()})
    states = sorted({commit_of(part) for part in parts.values()})
    told = f"{where(parts)}, {others[0]} to {others[-1]} cores in use by others"
    told += f"; the parts are of commits {', '.join(states)}" * (len(states) > 1)
    return f"{told}\n\n{tabulate.tabulate(rows, head, tablefmt='github', disable_numparse=True)}\n"


def command(path):
    """Return the table of whole commands beside their floor."""
    rows = []
    for name, part in json.loads(path.read_text()).items():
        floor = part["floor"]["median"]
        rows.append([name, "floor", seconds(part["floor"]), "", ""])
        for one in part["checkouts"]:
            ratio = f"{one['later']['median'] / floor:.2f}"
            rows.append([name, f"commit {commit_of(one)}", seconds(one["later"]), f"{one['first']:.3g}", ratio])
    head = ["model, data", "", "s a command", "the first from a data set", "of the floor"]
    return tabulate.tabulate(rows, head, tablefmt="github", disable_numparse=True) + "\n"


def of_step(parts, size, step):
    """Return the cells of a step: seconds, the part of them that an epoch took, peak memory, and that above the imports'."""
    part, imports = (parts.get(f"{size} rows, {name}") for name in (step, "imports"))
    if part is None:
        return ["", "", ""]
    took = f"{part['seconds']:.0f}" + (f", epoch {part['epoch']:.0f}" if "epoch" in part else "")
    above = (part["peak_mb"] - imports["peak_mb"]) * 2**20 / size
    return [took, f"{part['peak_mb']:,.0f}", f"{above:.0f}" if above > 0 else ""]


def on_card(path):
    parts = json.loads(path.read_text())
    some, rows = next(iter(parts.values())), []
    for name in dict.fromkeys(name.rsplit(", ", 1)[0] for name in parts):
        card, cpu = (parts.get(f"{name}, {device}") for device in ("cuda", "cpu"))
        if "oracles" in name:
            for look in ("refit", "strong"):
                own = [f"{part[f'{look}_seconds']:.3g}" if part else "" for part in (card, cpu)]
                rows.append([name.replace("oracles", f"{look} oracle"), *own])
            continue
        rows.append([name, *(taken(part) for part in (card, cpu))])
    head = ["seconds, median (least to greatest)", "card", "CPU"]
    return (
        f"**{some['card']}** and {some['cores']} cores of its machine, torch {some['torch']}, commit {commit_of(some)}\n\n"
        f"{tabulate.tabulate(rows, head, tablefmt='github', disable_numparse=True)}\n"
    )


def taken(part):
    """Return the seconds of a part; a method that ran once has one figure."""
    if part is None:
        return ""
    if "extrapolated" in part:
        return f"{part['seconds']:.3g} for {part['epochs']} epochs; {part['extrapolated']:.3g} for {part['to']}, extrapolated"
    return seconds(part["seconds"]) if part["seconds"]["runs"] > 1 else f"{part['seconds']['median']:.3g}, one run"


TABLES = {
    "card": ("gpu.json", on_card),
    "cluster": ("cluster.json", cluster),
    "stock": ("speed-*.json", against_stock),
    "anomaly": ("anomaly.json", anomaly),
    "memory": ("memory.json", memory),
    "one": ("scale-one.json", one_request),
    "person": ("one_person.jsonl", one_person),
    "batch": ("scale-batch-*.json", batch),
    "dataset": ("scale-dataset.json", loading),
    "command": ("command.json", command),
    "many": ("many_rows.json", many_rows),
    "disk": ("scale-disk.json", disk),
}


def parts_of(name):
    path = RESULTS / name
    return list(json.loads(path.read_text()).values()) if path.exists() else []


def figure():
    """Draw how a request's cost grows: with users it does not name, the user's rows, items, dimensions, rows forgotten."""
    names = ("scale-one.json", "scale-grow.json", "scale-batch-50000000.json")
    one, growing, many = map(parts_of, names)
    drawing, places = plt.subplots(1, 5, figsize=(15, 3.2))
    curves(places[0], one, "users", "users in the tables")
    for place, (name, (size, label)) in zip(places[1:-1], GROWING.items(), strict=True):
        curves(place, [part for part in growing if part["grows"] == name], size, label)
    places[-1].plot([part["forgotten"] for part in many], [part["seconds"] for part in many], marker="o")
    places[-1].set(xlim=(0, None), ylim=(0, None), xlabel="rows forgotten in one request", ylabel="s a request")
    places[0].set(ylabel="ms a request of one user")
    save(drawing, "scale", FOLDER)


def curves(place, parts, size, label):
    for kind in dict.fromkeys(part["kind"] for part in parts):
        mine = [part for part in parts if part["kind"] == kind]
        times = [1e3 * part["median"] for part in mine]
        bars = [[1e3 * abs(part["median"] - part[end]) for part in mine] for end in ("min", "max")]
        place.errorbar([part[size] for part in mine], times, bars, marker="o", capsize=3, label=kind)
    place.set(xscale="log", ylim=(0, None), xlabel=label)
    if parts:
        place.legend()


def main():
    figure()
    for name, (pattern, table) in TABLES.items():
        tables = [table(path) for path in sorted(RESULTS.glob(pattern))] or ["Not measured yet.\n"]
        page = "docs/cluster.md" if name == "cluster" else "docs/performance.md"
        write_between(page, name, "\n" + "\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
