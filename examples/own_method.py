"""A method of your own is one class. Run it with `--methods=Retrain,own_method:MeanRow` and this folder on PYTHONPATH."""

from dataclasses import dataclass

import torch

from recbole_unlearn import run_unlearn
from recbole_unlearn.methods import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows, write_rows


@dataclass(frozen=True, kw_only=True)
class MeanRow(UnlearnMethod):
    """Give users with no row left the mean embedding of the other users, multiplied by `shrink`.

    Formula: e_u' = shrink * mean of e_v over the users v with rows. Cost: one mean over the user table.
    """

    name = "MeanRow"
    shrink: float = 1.0

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Overwrite the rows in place."""
        adapter = InfluenceAdapter.of(context.model)
        stay = torch.from_numpy(context.retained_counts.nonzero()[0])
        mean = read_rows(adapter.user_tables, stay).mean(dim=0) * self.shrink
        users = torch.from_numpy(context.gone)
        write_rows(adapter.user_tables, users, mean.expand(len(users), -1))
        adapter.parameters_changed()
        return Outcome(context.model, {"users": len(users)})


if __name__ == "__main__":
    methods = ["Retrain", "SCIF", f"{__name__}:MeanRow"]  # in another script "own_method:MeanRow"
    result = run_unlearn(config_dict={"methods": methods, "shrink": 0.5})
    for name, figures in result["unlearn"]["methods"].items():
        print(name, figures["utility"]["retained"], figures["mio"]["strong"]["auc"])
