"""A model that is made and not trained, for whoever makes it first and hands it on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from recbole.utils import init_seed


@dataclass(frozen=True)
class Untrained:
    """A model as its seed gives it, with the state in which the making left the generators of random numbers.

    The checks of a run try a copy of the model; the training goes on as if it had just been made. Use ``Untrained.of``.

    Args:
        model: The model.
        device: Where it lies.
        states: Of Python's, numpy's and torch's generator, and of the card's if it lies on one.
    """

    model: Any
    device: torch.device
    states: tuple[Any, ...]

    @classmethod
    def of(cls, config: Any, dataset: Any, model: Any = None) -> Untrained:
        """Set the seed and make a model.

        Args:
            config: A ``recbole_unlearn.Config``.
            dataset: The training part, as RecBole gives it to its models.
            model: A model that is there already; only the seed is set then.
        """
        init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
        device = torch.device(config["device"])
        if model is None:
            model = config.model_class(config, dataset).to(device)
        states: tuple[Any, ...] = (random.getstate(), np.random.get_state(), torch.get_rng_state())
        return cls(model, device, (*states, torch.cuda.get_rng_state(device)) if device.type == "cuda" else states)

    def ready(self) -> Any:
        """Return the model, with the generators as they were when it had been made; to be trained once."""
        random.setstate(self.states[0])
        np.random.set_state(self.states[1])
        torch.set_rng_state(self.states[2])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self.states[3], self.device)
        return self.model
