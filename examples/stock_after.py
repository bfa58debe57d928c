"""The same script with other imports; only the last paragraph unlearns."""

from recbole.utils import init_seed

from recbole_unlearn import Config, WithdrawalRequest
from recbole_unlearn import Unlearner as Trainer
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.utils import get_model

config = Config(model="NeuMF", dataset="ml-100k")
init_seed(config["seed"], config["reproducibility"])
dataset = create_dataset(config)
train_data, valid_data, test_data = data_preparation(config, dataset)
init_seed(config["seed"], config["reproducibility"])
model = get_model(config["model"])(config, train_data.dataset).to(config["device"])
trainer = Trainer(config, model, dataset)
trainer.fit(train_data, valid_data, saved=False)
print("test", trainer.evaluate(test_data, load_best_model=False))

outcome = trainer.unlearn(WithdrawalRequest.users(["196", "22"]), method="SCIF", scope="all")
(receipt,) = trainer.save("saved/unlearned.pth")
print("converged", outcome.diagnostics["converged"], "receipt", receipt)
