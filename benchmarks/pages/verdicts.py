"""What a claim is, and the reasons that were found for those that do not hold."""

from typing import NamedTuple

import numpy as np

from benchmarks.pages.records import POWER, average, half_interval

NOT_MEASURED = "not measured"


class Claim(NamedTuple):
    """A statement and whether it holds.

    ``blind``: it rests on the strong oracle alone, which is blind by construction to what it asks. ``weak``: the oracle
    behind it could not have seen the opposite. ``wide``: the mean is within the bound, its interval is not.
    """

    where: str
    what: str
    paper: str
    here: str
    seeds: int
    holds: bool | None
    papers_own: bool = False
    blind: bool = False
    weak: bool = False
    wide: bool = False
    why: str = ""

    @property
    def verdict(self):
        if self.holds is None:
            return NOT_MEASURED
        if self.holds and self.blind:
            return "withdrawn: the oracle is blind to it"
        word = "holds" if self.holds else "**does not hold**"
        word += ", 1 seed" * (self.seeds == 1)
        return word + ", weak oracle" * self.weak + ", wide" * self.wide


ADM = "amazon-digital-music-5core"
SMALL = {("NeuMF", "ml-100k"), ("NeuMF", ADM)}
# Each reason with the settings that it was found in, or is likely in: elsewhere there is none. Braces: what was measured.
WHY = {
    "items and layers": (
        {("NeuMF", ADM)},
        "IF draws the embeddings of who left anew, as ResetUE does, which has {}: the figure says nothing of IF's items. Why "
        "draws are recognised a little here was not found",
    ),
    "comparable": (
        {("LightGCN", "ml-1m")},
        "likely, not tested: a graph loses edges, and IF and CIF adapt all parameters to it, SIF and SCIF only the "
        "embeddings of withdrawn users",
    ),
    "graph": (
        {("LightGCN", "ml-1m")},
        "the withdrawn edges are missing in all propagated embeddings, and user selection changes only withdrawn users: "
        "ResetUE keeps {}",
    ),
    "taste": (
        {("NeuMF", ADM), ("LightGCN", ADM)},
        "likely, not tested: the item embeddings cannot express the order of popularity better; Retrain serves these users "
        "{} of it",
    ),
    "small": (
        SMALL,
        "likely, not tested: IF's products are with a sample of the rows that is as large as the whole of a small data set, "
        "while Retrain's epochs shrink with it",
    ),
    "sparse": (
        {("NeuMF", ADM), ("LightGCN", ADM)},
        "likely, not tested: a shard has about one row an item there, and takes an eighth of the optimizer's steps",
    ),
    "shards": (
        SMALL,
        "likely, not tested: of a small shard's time, loading, set-up and the aggregator are a larger part",
    ),
}
AT = {"request": "rand@5"}


def why(name, dataset, model, measured=""):
    """Return a reason where it is known, with what was measured beside it; else nothing."""
    known, text = WHY[name]
    return text.format(measured) if (model, dataset) in known else ""


def least(values, bound):
    return bool(np.mean(values) >= bound) if values else None


def is_wide(values, bound):
    """Whether a mean that reaches a bound has an interval that does not; one seed has none."""
    return bool(least(values, bound) and np.mean(values) - (half_interval(values) or 0.0) < bound)


def is_weak(rows, **at):
    """Whether the strong oracle sees too little on the model before the withdrawal to say anything afterwards."""
    auc = average(rows, "strong_auc", method="Original", **at)
    return auc is not None and auc < POWER
