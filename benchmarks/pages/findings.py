"""What was found, in twenty sentences: each figure is computed from the lines of the benchmarks."""

import json

import numpy as np

from benchmarks.pages.glance import sentences
from benchmarks.pages.leaderboard import entries, runs, shadows
from benchmarks.pages.looks import strong_gap
from benchmarks.pages.paper_parts import markdown
from benchmarks.pages.records import RESULTS, average, column, commit_of, pooled, read_lines, settings
from recbole_unlearn.leaderboard.standings import standings
from recbole_unlearn.terminal.layout import listed

REQUEST = "rand@5 users"


class Board:
    """The standings of the leaderboard by setting and method."""

    def __init__(self, board):
        self.found = {(one.setting[:2], one.method): one for one in board if one.setting[2:] == (REQUEST, "")}

    def of(self, method):
        """Return the standings of a method, one for each setting that has it."""
        return [one for (_, name), one in self.found.items() if name == method]

    def number(self, method):
        """Return in how many settings a method was measured, in words."""
        return f"{len(self.of(method))} settings"

    def span(self, method, key, look="", form=".2f"):
        """Return the least and the greatest of a figure over the settings, in words."""
        return spanned([one.mean(key, look) for one in self.of(method)], form)

    def excess(self, method, look="refit", form="+.2f"):
        """Return the span of an oracle's AUC above Retrain's."""
        return self.span(method, "excess", look, form)

    def left(self, method):
        """Return the span of what a method leaves of the refit oracle's AUC above Retrain's, as a share of the original's."""
        originals = {one.setting[:2]: one.mean("excess", "refit") for one in self.of("Original")}
        return spanned([one.mean("excess", "refit") / originals[one.setting[:2]] for one in self.of(method)])

    def people(self, method):
        """Return the span of the shadow audit's AUC, by the refitted embedding."""
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
    """Return a figure without the zero before its point, as the other pages write it, and without the sign of a zero.

    >>> short(-0.5), short(1.25), short(-0.001, "+.2f")
    ('-.50', '1.25', '.00')
    """
    text = format(value, form)
    if not text.strip("+-0.,"):
        text = text.lstrip("+-")
    return text.replace("0.", ".", 1) if text.lstrip("+-").startswith("0.") else text


def findings(rows, found, times):
    """Return the numbered sentences under their headings; those of a benchmark that was not run are left out."""
    board, parts, number = Board(standings(entries(), shadows())), [], 0
    for heading, told in {
        "What stays behind": remembered(board),
        "What leaves nothing": forgotten(board, rows),
        "What it costs": costs(board, times),
        "What it does to recommendations": served(rows),
        "The paper": of_the_paper(rows, found),
        "Other requests": other_requests(),
    }.items():
        lines = [f"{number + place}. {sentence}" for place, sentence in enumerate(filter(None, told), start=1)]
        number += len(lines)
        parts.append("\n".join([f"### {heading}\n", *lines]))
    return "\n\n".join(parts)


def settings_table():
    """Return the settings of the sentences: who leaves, and how well Retrain, the original and popularity serve."""
    body, known = [], {}
    for _, line in runs():
        known.setdefault((line["dataset"], line["model"]), {})[line["seed"]] = line
    for (dataset, model), of_seed in sorted(known.items()):
        lines = list(of_seed.values())
        ndcg = [[line["methods"][name]["ndcg"] for line in lines] for name in ("Retrain", "Original")]
        ndcg.append([line["references"]["popularity"]["retained"]["ndcg@10"] for line in lines])
        people = spanned([line["request"]["n_users"] for line in lines], ",d")
        gone = spanned([line["request"]["n_rows"] for line in lines], ",d")
        body.append([f"{model}, {dataset}", len(lines), people, gone, *(f"{np.mean(part):.3f}" for part in ndcg)])
    head = ["setting", "seeds", "users who leave", "their training rows"]
    return markdown(body, [*head, *(f"NDCG@10: {name}" for name in ("Retrain", "original", "popularity"))])


def remembered(board):
    """What the items and layers still tell."""
    return [
        f"After SCIF the items remember as much as before it: the refit oracle's AUC is {board.excess('SCIF')} above "
        f"Retrain's, and {board.excess('Original')} on the model before the withdrawal ({board.number('SCIF')}).",
        "The strong oracle, which follows the paper's and is trained until it recognises rows, does not see it: "
        f"{board.excess('SCIF', 'strong', '+.3f')} above Retrain's, because all who left share one embedding.",
        "Person by person, shadow models tell whom SCIF forgot from somebody who was never there, by an embedding that is "
        f"fitted to half of that person's rows: AUC {board.people('SCIF')}; after IF {board.people('IF')}, after Retrain "
        f"{board.people('Retrain')} ([audit](items_remember.md#person-by-person-the-shadow-audit)).",
        f"Influence functions leave a share of what the items tell: IF {board.left('IF')} ({board.number('IF')}), GIF "
        f"{board.left('GIF')} ({board.number('GIF')}), and IFRU, which changes embeddings only, {board.left('IFRU')} "
        f"({board.number('IFRU')}).",
        f"Steps against the withdrawn rows harm the others: NegGrad keeps {board.span('NegGrad', 'kept')} of Retrain's "
        f"NDCG@10 and RRL {board.span('RRL', 'kept')}. The refit oracle reads {board.excess('NegGrad')} and "
        f"{board.excess('RRL')} above Retrain's, the strong one {board.excess('NegGrad', 'strong')} and "
        f"{board.excess('RRL', 'strong')} ({board.number('RRL')}).",
    ]


def forgotten(board, rows):
    """What passes, and what does not quite."""
    served = {name: share_of_retrain(rows, name) for name in ("SISA", "RecEraser")}
    return [
        f"RetrainSVD leaves nothing: whole 95 % intervals of both oracles are within .02 of Retrain's in "
        f"{board.inside('RetrainSVD')} settings, and the shadow audit reads {board.people('RetrainSVD')}. It is made of the "
        "retained rows alone, so this checks the code more than the idea.",
        f"It is {board.span('RetrainSVD', 'faster', form='.0f')} times as fast as Retrain and keeps "
        f"{board.span('RetrainSVD', 'kept')} of its NDCG@10. That Retrain trains for the protocol's epochs and overfits "
        f"explains a part on some settings only: RetrainStopped keeps {board.span('RetrainStopped', 'kept')}.",
        f"RedrawItems, which keeps what users and layers learned, is not enough: {board.excess('RedrawItems')} above "
        f"Retrain's, and {board.people('RedrawItems')} in the shadow audit.",
        f"Shards are exact by construction and serve worse on most settings: SISA keeps {served['SISA']} of Retrain's "
        f"NDCG@10, RecEraser {served['RecEraser']} and UltraRE {board.span('UltraRE', 'kept')}. The refit oracle reads "
        f"{board.excess('RecEraser')} above Retrain's after RecEraser and {board.excess('UltraRE')} after UltraRE; in SISA's "
        "shards it recognises no user, so it cannot check them.",
    ]


def share_of_retrain(rows, method):
    """Return the span over the grids' settings of the share of Retrain's NDCG@10, retained users, rand@5."""
    return spanned([average(part, "ndcg@10_share", method=method) for part in of_settings(rows)])


def of_settings(rows):
    return [part for _, _, part in settings([row for row in rows if row["request"] == "rand@5"])]


def costs(board, times):
    """Seconds."""
    parallel = [average(part, "parallel_speedup", method="RecEraser") for part in of_settings(times)]
    return [
        f"SCIF is {board.span('SCIF', 'faster', form=',.0f')} times as fast as our Retrain, IF "
        f"{board.span('IF', 'faster', form='.1f')} times and RecEraser, its shards one after the other, "
        f"{board.span('RecEraser', 'faster', form='.1f')} (medians over seeds; most on one core beside another measurement); "
        f"with a machine for each shard RecEraser is {spanned(parallel, '.1f')} times as fast (NeuMF, Figure 7).",
        one_person(),
    ]


def one_person():
    lines = [line for line in read_lines("one_person") if (line["dataset"], line["threads"]) == ("ml-1m", 2)]
    if not lines:
        return ""
    last, told = commit_of(lines[-1]), []
    for model in dict.fromkeys(line["model"] for line in lines):
        runs = [line["whole"] for line in lines if (line["model"], commit_of(line)) == (model, last)]
        middle, low, high = (1e3 * pooled(runs)[key] for key in ("median", "min", "max"))
        told.append(f"{middle:.1f} ms ({low:.1f} to {high:.1f}) out of {model}")
    return (
        f"One person leaves a loaded model of ml-1m, and the next user is served, in {listed(told)}: the median of 20 "
        f"persons and their range, of {len(runs)} processes, two threads, commit {last}."
    )


def served(rows):
    """NDCG@10 of those who stay and of those who left."""
    parts = of_settings(rows)
    stays = [average(part, "ndcg@10_share", method="SCIF") for part in parts]
    left = [average(part, "withdrawn_share", method="SCIF") for part in parts]
    neumf = [row for row in rows if row["method"] == "SCIF" and row["model"] == "NeuMF" and row["ndcg@10"] is not None]
    equal = sum(row["ndcg@10"] == row["original_ndcg@10"] for row in neumf)
    seeds = spanned([len(column(part, "ndcg@10_share", method="SCIF")) for part in parts], "d")
    popular = average(rows, "ndcg@10_share", method="(popularity)", model="NeuMF", dataset="ml-1m", request="rand@5")
    weak = "" if popular is None else f" Beware of NeuMF on ml-1m: there popularity has {popular:.2f} of Retrain's."
    return [
        "Who stays is served as after Retrain: SCIF keeps at least .99 of its NDCG@10 in "
        f"{sum(one >= 0.99 for one in stays)} of {len(parts)} settings, and {spanned(stays)} in all "
        f"(means of {seeds} seeds).{weak}",
        f"On NeuMF, SCIF costs retained users nothing: their NDCG@10 is the original's to six decimals in {equal} of "
        f"{len(neumf)} cells of both requests. The paper prints 6 to 9 % below Retrain.",
        f"Who left is served like somebody unknown: SCIF gives them at least .9 of what recommending popular items does in "
        f"{sum(one >= 0.9 for one in left)} of {len(parts)} settings, and {spanned(left)} in all.",
    ]


def of_the_paper(rows, found):
    """The paper's claims, its oracle and its definitions."""
    return [sentences(found)[0], printed_oracle(), rated(), defined()]


def printed_oracle():
    lines = read_lines("printed_oracle-NeuMF-ml-100k")
    if not lines:
        return ""

    def auc(method, look, which):
        return short(np.mean([run["methods"][method][look][which]["auc"] for run in lines]))

    printed = auc("Original", "strong", "as printed")
    return (
        f"At its printed settings the paper's oracle learns nothing (AUC {auc('Original', 'paper', 'as printed')} on the "
        f"original NeuMF of ml-100k, {len(lines)} seeds). With our network the printed procedure reads {printed} "
        f"and ours, cross-fitted by user, {auc('Original', 'strong', 'ours')}; {auc('Retrain', 'strong', 'as printed')} and "
        f"{auc('Retrain', 'strong', 'ours')} after Retrain."
    )


def rated():
    lines = read_lines("ratings-NeuMF-ml-100k")
    if not lines:
        return ""

    before, refitted = (
        short(np.mean([run["methods"]["Original"]["mio"][look]["auc"] for run in lines]))
        for look in ("strong", "refit")
    )
    gone, left = (short(strong_gap(lines, name), "+.2f") for name in ("Original", "CIF-paper"))
    ndcg = short(np.mean([run["methods"]["Retrain"]["ndcg"] for run in lines]))
    return (
        f"With ratings as labels (z-bar is then an average rating) the oracles are too weak to judge: AUC {before} "
        f"and, refitted, {refitted} on an original that hardly ranks (NDCG@10 "
        f"of Retrain {ndcg}; NeuMF, ml-100k, {len(lines)} seeds). After the paper's CIF the strong one reads {left} above "
        f"Retrain's, after {gone} before."
    )


def defined():
    path = RESULTS / "definition-NeuMF-ml-100k.json"
    if not path.exists():
        return ""
    told = json.loads(path.read_text())
    groups = [group for group in told["methods"]["ResetUE"] if group.startswith("parameters")]
    passed = sum(told["methods"]["ResetUE"][group]["p"] > 0.05 for group in groups)
    energy = {name: short(of["scores: retained"]["energy"]) for name, of in told["methods"].items()}
    return (
        "Definitions 1 and 2 ask for the distribution of Retrain. That of parameters is not enough: ResetUE passes it in "
        f"{passed} of {len(groups)} groups, and its items remember all. That of scores is not needed: RetrainSVD, which "
        f"never read a withdrawn row, fails it on retained pairs (energy distance, 0 for equal and 2 for far apart: "
        f"{energy['RetrainSVD']}; original {energy['Original']}; Retrain of other seeds {energy['Retrain, other seeds']}; "
        f"NeuMF, ml-100k, {told['seeds']} seeds each)."
    )


def other_requests():
    """Single interactions and spam."""
    return [interactions(), spam()]


def interactions():
    lines = [line["requests"]["interactions"] for line in read_lines("parts-NeuMF-ml-100k")]
    if not lines:
        return ""

    def gap(method):
        return short(strong_gap(lines, method), "+.2f")

    def kept(method):
        return short(np.mean([run["methods"][method]["ndcg"] / run["methods"]["Retrain"]["ndcg"] for run in lines]))

    return (
        f"Single interactions (5 % of the rows; NeuMF, ml-100k, {len(lines)} seeds): the strong oracle reads "
        f"{gap('Original')} above Retrain's before, {gap('SCIF-items')} after SCIF-items, which keeps "
        f"{kept('SCIF-items')} of Retrain's NDCG@10, and {gap('RetrainSVD')} after RetrainSVD, which keeps "
        f"{kept('RetrainSVD')} (users who lose no row)."
    )


def spam():
    lines = [line["scenarios"]["spam"]["methods"] for line in read_lines("scenarios-NeuMF-ml-100k")]
    if not lines:
        return ""
    place = {name: np.mean([run[name]["place"] for run in lines]) for name in lines[0]}
    gained = {name: np.mean([run[name]["ndcg"] / run["Original"]["ndcg"] for run in lines]) for name in lines[0]}
    places = listed([f"{short(place[name])} after {name}" for name in ("Retrain", "SCIF", "RetrainSVD")])
    return (
        f"Spam: items that false users pushed score above {short(place['Original'])} of all others before these "
        f"leave, above {places}; the other users have {short(gained['Retrain'])} of the original's NDCG@10 after Retrain and "
        f"{short(gained['SCIF'])} after SCIF (NeuMF, ml-100k, {len(lines)} seeds)."
    )
