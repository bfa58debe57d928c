"""Progress of a run: a progress bar over the methods, scalars for tensorboard, and wandb."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recbole.utils import set_color
from tqdm import tqdm

from recbole_unlearn.exceptions import ConfigError


def check_wandb(config: Any) -> None:
    """Refuse ``log_wandb`` where wandb is not installed, before anything is trained."""
    if not config["log_wandb"]:
        return
    try:
        import wandb  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "log_wandb is True and wandb is not installed; install it with `pip install 'recbole-unlearn[wandb]'`"
        ) from error


class Telemetry:
    """Writes the figures of each model to the tensorboard of the run, and to wandb with ``log_wandb``.

    Scalars are named ``Unlearn/<figure>/<method>``, so that tensorboard shows the methods of a figure side by side.

    Args:
        unlearner: Of the original model: its writer and its wandb run are used and not closed here.
    """

    def __init__(self, unlearner: Any) -> None:
        self.config = unlearner.config
        self.writer = unlearner.tensorboard
        self.wandb = unlearner.wandblogger

    def bar(self, methods: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """Return the methods, under a progress bar with ``show_progress``."""
        shown = bool(self.config["show_progress"])
        return tqdm(methods.items(), desc=set_color("Unlearn", "pink"), ncols=100, disable=not shown)

    def log(self, name: str, result: Mapping[str, Any]) -> None:
        """Write the figures of one model, from its part of the report."""
        figures = figures_of(result, str(self.config["valid_metric"]).lower())
        for figure, value in figures.items():
            self.writer.add_scalar(f"Unlearn/{figure}/{name}", value)
        self.writer.flush()
        if self.config["log_wandb"]:
            self.wandb.log_metrics({f"{figure}/{name}": value for figure, value in figures.items()}, head="Unlearn")


def figures_of(result: Mapping[str, Any], headline: str) -> dict[str, float]:
    """Return the figures of the three principles that a model has: oracle, utility of both groups, seconds.

    >>> figures_of({"mio": {"strong": {"auc": 0.5}}, "utility": {"retained": {"ndcg@10": 0.2}}, "seconds": None}, "ndcg@10")
    {'auc_strong': 0.5, 'ndcg@10_retained': 0.2}
    """
    figures = {f"auc_{protocol}": oracle.get("auc") for protocol, oracle in result["mio"].items()}
    figures |= {
        f"{headline}_{group}": result["utility"].get(group, {}).get(headline) for group in ("retained", "withdrawn")
    }
    figures["seconds"] = result.get("seconds")
    return {name: float(value) for name, value in figures.items() if value is not None}
