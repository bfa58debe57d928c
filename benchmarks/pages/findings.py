"""What was found, in twenty sentences: each figure is computed from the lines of the benchmarks."""

import json

import numpy as np

from benchmarks.pages.glance import summary
from benchmarks.pages.leaderboard import entries, shadows
from benchmarks.pages.records import RESULTS, average, column, read_lines, settings
from recbole_unlearn.leaderboard.standings import standings
from recbole_unlearn.terminal.layout import listed

SEEN = ("SCIF", "IF", "Retrain", "RetrainSVD", "RedrawItems")  # by shadow models


class Board:
    """The standings of the leaderboard by setting and method."""

    def __init__(self, board):
        self.found = {(one.setting[:2], one.method): one for one in board}
        self.settings = list(dict.fromkeys(setting for setting, _ in self.found))

    def of(self, method):
        """Return the standings of a method, one for each setting that has it."""
        return [one for (_, name), one in self.found.items() if name == method]

    def span(self, method, key, look="", form=".2f"):
        """Return the least and the greatest of a figure over the settings, in words."""
        return spanned([one.mean(key, look) for one in self.of(method)], form)

    def excess(self, *methods):
        """Return the span of the refit oracle's AUC above Retrain's, of several methods together."""
        return spanned([one.mean("excess", "refit") for name in methods for one in self.of(name)], "+.2f")

    def people(self, method):
        """Return the span of the shadow audit's AUC."""
        return spanned([one.shadow and one.shadow[0] for one in self.of(method)])

    def inside(self, method):
        """Return in how many settings whole intervals are within the margin, and of how many."""
        told = [one.forgets() for one in self.of(method)]
        return f"{told.count(True)} of {len(told)}"


def spanned(values, form=".2f"):
    """Return the least and the greatest of the values that are there.

    >>> spanned([0.123, None, 0.4])
    '.12 to .40'
    """
    known = [value for value in values if value is not None]
    if not known:
        return "(not measured)"
    ends = [short(end, form) for end in (min(known), max(known))]
    return " to ".join(dict.fromkeys(ends))


def short(value, form=".2f"):
    """Return a figure without the zero before its point, as the other pages write it.

    >>> short(-0.5), short(1.25)
    ('-.50', '1.25')
    """
    text = format(value, form)
    return text.replace("0.", ".", 1) if text.lstrip("+-").startswith("0.") else text


def findings(rows, found):
    """Return the numbered sentences under their headings; those of a benchmark that was not run are left out."""
    board, parts, number = Board(standings(entries(), shadows())), [], 0
    for heading, told in {
        "What stays behind": remembered(board),
        "What leaves nothing": forgotten(board),
        "What it costs": costs(board, rows),
        "What it does to recommendations": served(board, rows),
        "The paper": of_the_paper(rows, found),
        "Other requests": other_requests(),
    }.items():
        lines = [f"{number + place}. {sentence}" for place, sentence in enumerate(filter(None, told), start=1)]
        number += len(lines)
        parts.append("\n".join([f"### {heading}\n", *lines]))
    return "\n\n".join(parts)


def remembered(board):
    """What the items and layers still tell."""
    where = listed([f"{model} on {dataset}" for dataset, model in board.settings])
    people = {method: board.people(method) for method in SEEN}
    return [
        f"After SCIF the items remember as much as before it: the refit oracle's AUC is {board.excess('SCIF')} above "
        f"Retrain's, and {board.excess('Original')} on the model before the withdrawal ({where}).",
        f"The strong oracle, which is the paper's idea with enough training, does not see it: {strong(board, 'SCIF')} "
        "above Retrain's, because all who left share one embedding.",
        f"Person by person, shadow models tell whom SCIF forgot from somebody who was never there with an AUC of "
        f"{people['SCIF']}; after IF with {people['IF']}, after Retrain with {people['Retrain']}.",
        f"Influence functions on all parameters leave most of it: {board.excess('IF', 'CIF')} after IF and CIF, "
        f"{board.excess('IFRU')} after IFRU and {board.excess('GIF')} after GIF.",
        f"Steps against the withdrawn rows harm everybody: NegGrad keeps {board.span('NegGrad', 'kept')} of Retrain's "
        f"NDCG@10 and RRL {board.span('RRL', 'kept')}, and the refit oracle reads {board.excess('NegGrad')} and "
        f"{board.excess('RRL')} above Retrain's.",
    ]


def strong(board, method):
    return spanned([one.mean("excess", "strong") for one in board.of(method)], "+.3f")


def forgotten(board):
    """What passes, and what does not quite."""
    people = {method: board.people(method) for method in SEEN}
    exact = ("SISA", "RecEraser", "UltraRE")
    kept = listed([f"{method} keeps {board.span(method, 'kept')}" for method in exact])
    return [
        f"RetrainSVD leaves nothing: whole 95 % intervals of both oracles are within .02 of Retrain's in "
        f"{board.inside('RetrainSVD')} settings, and the shadow audit reads {people['RetrainSVD']}; it is made of the "
        "retained rows alone, so this checks the code more than the idea.",
        f"It takes {board.span('RetrainSVD', 'faster', form='.0f')} times less than Retrain and keeps "
        f"{board.span('RetrainSVD', 'kept')} of its NDCG@10; partly because Retrain trains for the protocol's epochs and "
        "overfits.",
        f"RedrawItems, which keeps what users and layers learned, is not enough: {board.excess('RedrawItems')} above "
        f"Retrain's, and {people['RedrawItems']} in the shadow audit.",
        f"Shards are exact (the refit oracle reads {board.excess(*exact)} above Retrain's) and mostly serve worse: {kept} of "
        "Retrain's NDCG@10.",
    ]


def costs(board, rows):
    """Seconds."""
    calls = {}
    for line in read_lines("one_person"):
        calls[line["model"], line["threads"]] = line["whole"]["median"] * 1e3
    one = listed([f"{calls[model, 1]:.0f} ms out of {model}" for model in dict.fromkeys(model for model, _ in calls)])
    parallel = [average(part, "parallel_speedup", method="RecEraser") for _, _, part in settings(rows)]
    return [
        f"SCIF takes {board.span('SCIF', 'faster', form=',.0f')} times less than our Retrain, IF "
        f"{board.span('IF', 'faster', form='.1f')} times and RecEraser's shards one after the other "
        f"{board.span('RecEraser', 'faster', form='.1f')}; with a machine for each shard, RecEraser is "
        f"{spanned(parallel, '.1f')} times faster (mean of each setting).",
        f"One person leaves a loaded model of ml-1m, and the next user is served, in a median of {one} on one thread.",
    ]


def served(board, rows):
    """NDCG@10 of those who stay and of those who left."""
    by_setting = [part for _, _, part in settings([row for row in rows if row["request"] == "rand@5"])]
    stays = {
        name: spanned([average(part, "ndcg@10_share", method=name) for part in by_setting]) for name in ("SCIF", "IF")
    }
    left = spanned([average(part, "withdrawn_share", method="SCIF") for part in by_setting])
    neumf = [row for row in rows if row["method"] == "SCIF" and row["model"] == "NeuMF" and row["ndcg@10"] is not None]
    equal = sum(row["ndcg@10"] == row["original_ndcg@10"] for row in neumf)
    seeds = spanned([len(column(part, "ndcg@10_share", method="SCIF")) for part in by_setting], "d")
    return [
        f"Who stays is served as well as after Retrain: SCIF keeps {stays['SCIF']} of its NDCG@10 and IF {stays['IF']} "
        f"(means of {seeds} seeds).",
        f"On NeuMF, SCIF costs retained users nothing: their NDCG@10 is the original's to the last digit in {equal} of "
        f"{len(neumf)} cells, where the paper prints losses of 6 to 9 %.",
        f"Who left is served like somebody unknown: after SCIF with {left} of what recommending popular items gives them.",
    ]


def of_the_paper(rows, found):
    """The paper's claims, its oracle and its definitions."""
    return [summary(found).split(" Of this project's")[0], printed_oracle(), rated(), defined()]


def printed_oracle():
    runs = read_lines("printed_oracle-NeuMF-ml-100k")
    if not runs:
        return ""

    def auc(method, look, which):
        return short(np.mean([run["methods"][method][look][which]["auc"] for run in runs]))

    return (
        f"With the paper's learning rate its oracle learns nothing (AUC {auc('Original', 'paper', 'as printed')} on the "
        f"original NeuMF of ml-100k, {len(runs)} seeds). With ours it reads {auc('Original', 'strong', 'as printed')} as "
        f"printed and {auc('Original', 'strong', 'ours')} cross-fitted by user, {auc('Retrain', 'strong', 'as printed')} and "
        f"{auc('Retrain', 'strong', 'ours')} after Retrain."
    )


def rated():
    runs = read_lines("ratings-NeuMF-ml-100k")
    if not runs:
        return ""

    def gap(method):
        both = [[run["methods"][name]["mio"]["strong"]["auc"] for name in (method, "Retrain")] for run in runs]
        return short(np.mean([one - base for one, base in both]), "+.3f")

    return (
        f"Where labels are ratings, z-bar is an average rating, as printed: the strong oracle reads {gap('Original')} above "
        f"Retrain's before and {gap('SCIF')} after SCIF, and {gap('CIF-paper')} after the paper's CIF (NeuMF, ml-100k, "
        f"{len(runs)} seeds)."
    )


def defined():
    path = RESULTS / "definition-NeuMF-ml-100k.json"
    if not path.exists():
        return ""
    told = json.loads(path.read_text())
    energy = {name: of["scores: retained"]["energy"] for name, of in told["methods"].items()}
    p = short(told["methods"]["Original"]["parameters: items"]["p"])
    return (
        "Definitions 1 and 2 ask for Retrain's distribution, and that is neither needed nor enough: the *original's* items "
        f"are distributed as Retrain's as far as {told['seeds']} seeds tell (p = {p}), and RetrainSVD, which never read a "
        "withdrawn row, is far from Retrain in the scores of retained pairs "
        f"(energy distance {short(energy['RetrainSVD'])}; original {short(energy['Original'])}; Retrain of other "
        f"seeds {short(energy['Retrain, other seeds'])})."
    )


def other_requests():
    """Single interactions and spam."""
    return [interactions(), spam()]


def interactions():
    runs = [line["requests"]["interactions"]["methods"] for line in read_lines("parts-NeuMF-ml-100k")]
    if not runs:
        return ""

    def gap(method, look):
        both = [[run[name]["mio"][look]["auc"] for name in (method, "Retrain")] for run in runs]
        return short(np.mean([one - base for one, base in both]), "+.2f")

    return (
        f"Single interactions (5 % of the rows; NeuMF, ml-100k, {len(runs)} seeds): the strong oracle reads "
        f"{gap('Original', 'strong')} above Retrain's before, {gap('SCIF-items', 'strong')} after SCIF-items and "
        f"{gap('RetrainSVD', 'strong')} after RetrainSVD."
    )


def spam():
    runs = [line["scenarios"]["spam"]["methods"] for line in read_lines("scenarios-NeuMF-ml-100k")]
    if not runs:
        return ""
    place = {name: np.mean([run[name]["place"] for run in runs]) for name in runs[0]}
    gained = {name: np.mean([run[name]["ndcg"] / run["Original"]["ndcg"] for run in runs]) for name in runs[0]}
    places = listed([f"{short(place[name])} after {name}" for name in ("Retrain", "SCIF", "RetrainSVD")])
    return (
        f"Spam: items that false users pushed score above {short(place['Original'])} of all others before these "
        f"leave, above {places}; the other users have {short(gained['Retrain'])} of the original's NDCG@10 after Retrain and "
        f"{short(gained['SCIF'])} after SCIF (NeuMF, ml-100k, {len(runs)} seeds)."
    )
