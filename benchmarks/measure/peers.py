"""The methods of other papers beside Retrain: with `refit`, which has ours, what the leaderboard is made of.

    python -m benchmarks.measure.peers NeuMF ml-100k 5 [--methods=Retrain,IFRU] [--key=value ...]

rand@5, protocol `paper`, as ``refit``. One json line per seed is appended to benchmarks/results/peers-MODEL-DATASET.jsonl.
Seeds that stand there already are not run again.
"""

from benchmarks.measure import refit
from benchmarks.measure.seeds import by_seed

METHODS = "Retrain,IFRU,GIF,NegGrad,RRL,CertifiedRemoval,UltraRE"


def run(model, dataset, seed, given):
    """Return a line: what each look says of each method."""
    return refit.run(model, dataset, seed, {"methods": METHODS, **given})


if __name__ == "__main__":
    by_seed("peers", run)
