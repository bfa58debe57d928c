"""Write the tables of docs/models.md from benchmarks/results/models-*.json: python -m benchmarks.pages.models"""

import json
import math

from benchmarks.pages.paper_parts import markdown
from benchmarks.pages.records import RESULTS, commit_of, write_between
from recbole_unlearn.evaluator.verdict import score_attack_of

METHODS = (
    *("Retrain", "RetrainStopped", "RetrainSVD", "FineTune", "SISA"),
    *("Exact", "ResetUE", "SIF", "SCIF", "RedrawItems", "IF"),
)
KINDS = ("general", "traditional", "context", "sequential", "knowledge", "decisiontree", "unknown")


def parts():
    """Return what was measured of each model: of the largest run that has it."""
    found = {}
    for path in sorted(RESULTS.glob("models-*.json"), key=_users):
        found |= json.loads(path.read_text())
    return found


def _users(path):
    """Return how many users a run had, at most."""
    users = path.stem.removeprefix("models-")
    return math.inf if users == "all" else int(users)


def cell(part):
    """Return seconds, with ~ where the method says that it is approximate; - where refused, ! where it failed."""
    if "seconds" in part:
        return f"{part['seconds']:.2f}" + ("~" if "approximate" in part else "")
    return "-" if "refused" in part else "**!**"


def table(found):
    """Return a line for each model that was trained: the seconds of each method."""
    trained = {name: part for name, part in found.items() if "methods" in part}
    order = sorted(trained, key=lambda name: (KINDS.index(trained[name]["kind"]), name.lower()))
    rows = [
        [
            name,
            trained[name]["kind"],
            f"{trained[name]['seconds']:.2f}",
            *(cell(trained[name]["methods"][m]) for m in METHODS),
        ]
        for name in order
    ]
    return markdown(rows, ["model", "kind", "training", *METHODS]) + "\n"


def reasons(found):
    """Return a line for each reason: which models are refused by it, for which methods. The model's own name is left out."""
    told = {}
    for name, part in found.items():
        for method, outcome in part.get("methods", {"all methods": part}).items():
            why = outcome.get("refused") or outcome.get("failed") or outcome.get("approximate")
            if why:
                what = "approximate" if "approximate" in outcome else "failed" if "failed" in outcome else "refused"
                key = (what, why.replace(name, "the model").replace("|", "/"))
                told.setdefault(key, {}).setdefault(name, []).append(method)
    rows = []
    for (what, why), of_models in sorted(told.items()):
        methods = dict.fromkeys(method for several in of_models.values() for method in several)
        rows.append([what, why, ", ".join(sorted(of_models, key=str.lower)), ", ".join(methods)])
    return markdown(rows, ["", "why", "models", "methods"]) + "\n"


def speed():
    """Return the seconds of the generic adapter beside those of the adapters written by hand, if they are measured."""
    path = RESULTS / "generic-ml-100k.json"
    if not path.exists():
        return "Not measured yet.\n"
    rows = [
        [name, what, f"{both['by_hand']['median']:.3f}", f"{both['generic']['median']:.3f}"]
        for name, part in json.loads(path.read_text()).items()
        for what, both in part["seconds"].items()
    ]
    return markdown(rows, ["model", "method, request", "by hand", "generic"]) + "\n"


def exact():
    """Return EASE on ml-1m: what Exact and Retrain take, and how far their weights are from a refit in float64."""
    part = json.loads((RESULTS / "exact-ml-1m.json").read_text())["EASE"]
    rows = [
        [name, "{median:.2f} ({low:.2f} to {high:.2f})".format(**part["seconds"][name]), f"{part['differs'][name]:.1e}"]
        for name in ("Retrain", "Exact")
    ]
    table = markdown(rows, ["", "seconds, median of 5 runs", "largest difference to the refit"])
    users = (
        f"{part['withdrawn_users']} of {part['users']:,} users out of {part['rows']:,} rows of {part['items']:,} items"
    )
    machine = f"{part['threads']} thread, commit {commit_of(part)}"
    moved = f"The withdrawal moves the weights by up to {part['moved']:.3f}"
    loaded = f"To load RecBole's checkpoint takes {part['load_stock_checkpoint']:.1f} s"
    return f"{table}\n\n{users}; {machine}. {moved}. {loaded}.\n"


def sequential():
    """Return the sequential models on the whole of ml-100k: seconds, quality and what the scores tell, if measured."""
    path = RESULTS / "sequential-ml-100k.json"
    rows = []
    for model, part in json.loads(path.read_text()).items() if path.exists() else ():
        for name, found in part["methods"].items():
            attack = score_attack_of(found)
            rows.append(
                [
                    model,
                    str(part["settings"]["epochs"]),
                    name,
                    f"{found['seconds']:.1f}" if found.get("seconds") else "",
                    f"{found['utility']['retained']['ndcg@10']:.3f}",
                    f"{attack['auc']:.3f}" if attack.get("auc") is not None else "",
                ]
            )
    names = ["model", "epochs", "method", "seconds", "NDCG@10 of retained users", "AUC of the score attack"]
    return (markdown(rows, names) if rows else "Not measured yet.") + "\n"


def main():
    found = parts()
    write_between("docs/models.md", "models", table(found))
    write_between("docs/models.md", "reasons", reasons(found))
    write_between("docs/models.md", "speed", speed())
    write_between("docs/models.md", "sequential", sequential())
    write_between("docs/index.md", "exact", exact())


if __name__ == "__main__":
    main()
