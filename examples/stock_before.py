"""A training script of stock RecBole: train NeuMF and evaluate it."""

from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.trainer import Trainer
from recbole.utils import get_model, init_seed

config = Config(model="NeuMF", dataset="ml-100k")
init_seed(config["seed"], config["reproducibility"])
dataset = create_dataset(config)
train_data, valid_data, test_data = data_preparation(config, dataset)
init_seed(config["seed"], config["reproducibility"])
model = get_model(config["model"])(config, train_data.dataset).to(config["device"])
trainer = Trainer(config, model)
trainer.fit(train_data, valid_data, saved=False)
print("test", trainer.evaluate(test_data, load_best_model=False))
