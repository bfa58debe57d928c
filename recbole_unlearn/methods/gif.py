"""GIF: the influence function with the change of the graph, on all parameters."""

from dataclasses import dataclass
from typing import Literal

from recbole_unlearn.methods.influence_function import IF


@dataclass(frozen=True, kw_only=True)
class GIF(IF):
    """The graph influence function on all parameters, with the Hessian of the original objective (Wu et al. 2023).

    Retained rows near a withdrawn one lose an edge of their graph, so their loss changes, too. GIF adds the difference of
    their gradients under the two graphs to the gradient of the withdrawn rows. Without a graph it is the influence function
    of Koh and Liang (2017).

    Formula: theta' = theta + (H + damping)^-1 (grad L(theta; all rows, old graph) - grad L(theta; retained rows, new graph)),
    with H of all rows under the old graph.
    Cost: that of IF.

    Use it to compare. IF differs from it in H only, which is that of the retained rows under the new graph.

    Deviations: the gradients of all rows are compared, where the paper takes those within k hops; with k the layers of the
    model this is the same. The paper's Neumann series needs a scale chosen by hand; here conjugate gradients solve the
    system, with a damping chosen by the loss of retained rows. Options: those of ``InfluenceOptions``.

    Reference: Wu, Yang, Qian, Sui, Wang and He (2023), GIF: A general graph unlearning strategy via influence function.
    """

    name = "GIF"

    hessian: Literal["new", "original"] = "original"
