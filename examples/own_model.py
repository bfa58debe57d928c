"""A model of your own: a RecBole model, and an adapter that says where its embeddings are."""

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType

from recbole_unlearn import run_unlearn
from recbole_unlearn.model.dot import BPRAdapter


class PlainMF(GeneralRecommender):
    """Matrix factorisation with BPR's loss, with the methods that RecBole requires of a model."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.user_embedding = torch.nn.Embedding(self.n_users, config["embedding_size"])
        self.item_embedding = torch.nn.Embedding(self.n_items, config["embedding_size"])
        for table in (self.user_embedding, self.item_embedding):
            torch.nn.init.xavier_normal_(table.weight)

    def calculate_loss(self, interaction):
        """Return -log sigmoid(s_ui - s_uj), the mean over the rows of a batch."""
        users = self.user_embedding(interaction[self.USER_ID])
        items, others = (self.item_embedding(interaction[name]) for name in (self.ITEM_ID, self.NEG_ITEM_ID))
        return -torch.nn.functional.logsigmoid((users * (items - others)).sum(dim=-1)).mean()

    def predict(self, interaction):
        """Return the score of each pair."""
        return (self.user_embedding(interaction[self.USER_ID]) * self.item_embedding(interaction[self.ITEM_ID])).sum(-1)

    def full_sort_predict(self, interaction):
        """Return the scores of all items for each user."""
        return (self.user_embedding(interaction[self.USER_ID]) @ self.item_embedding.weight.T).flatten()


class PlainMFAdapter(BPRAdapter):
    """The tables have the names and the loss of BPR, so BPR's adapter fits. Another model needs its own."""

    model_name = "PlainMF"


if __name__ == "__main__":
    result = run_unlearn(PlainMF, config_dict={"embedding_size": 16})
    for name, figures in result["unlearn"]["methods"].items():
        print(name, figures["utility"]["retained"], figures["mio"]["strong"]["auc"])
