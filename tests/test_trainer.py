import copy
from functools import partial

import numpy as np
import pytest
import torch
from recbole.trainer import Trainer

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import WithdrawalDataset, create_dataset, data_preparation
from recbole_unlearn.exceptions import ConfigError, LedgerError, RequestError, UntrustedFileError
from recbole_unlearn.trainer import train_model
from recbole_unlearn.utils import get_model, get_trainer


def test_get_trainer_is_the_unlearner(make_config):
    config = make_config()
    assert get_trainer(config["MODEL_TYPE"], "NeuMF") is Unlearner
    assert get_trainer(config["MODEL_TYPE"], "NCL") is Unlearner  # which trains it as RecBole does
    assert get_trainer(config["MODEL_TYPE"], "RaCT").__name__ == "RaCTTrainer"


def test_fit_trains_as_recbole_does(make_config):
    losses = []
    for trainer_class in (Trainer, Unlearner):
        config = make_config(epochs=2)
        dataset = create_dataset(config)
        torch.manual_seed(1)
        np.random.seed(1)
        train_data, _, _ = data_preparation(config, dataset)
        trainer = trainer_class(config, get_model("NeuMF")(config, dataset))
        trainer.fit(train_data, saved=False, verbose=False)
        losses.append(trainer.train_loss_dict)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)  # the fused optimizer rounds otherwise


def test_training_twice_gives_the_same_bits(make_config):
    models = []
    for _ in range(2):
        torch.manual_seed(1)
        models.append(train_model(make_config(epochs=2), create_dataset(make_config())).model.state_dict())
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_evaluate_reloads_only_when_asked(fresh_copy, tmp_path):
    test_data = data_preparation(fresh_copy.config, fresh_copy.dataset)[2]
    fresh_copy.save(tmp_path / "model.pth")
    before = fresh_copy.evaluate(test_data)
    for parameter in fresh_copy.model.parameters():
        parameter.data.zero_()
    assert fresh_copy.evaluate(test_data) != before
    assert (fresh_copy.model.user_mf_embedding.weight == 0).all()
    assert fresh_copy.evaluate(test_data, load_best_model=True, model_file=str(tmp_path / "model.pth")) == before


def test_a_run_without_validation_saves_once(make_config, tmp_path):
    config = make_config(epochs=3, checkpoint_dir=str(tmp_path))
    dataset = create_dataset(config)
    train_data, _, _ = data_preparation(config, dataset)
    unlearner = Unlearner(config, get_model("NeuMF")(config, dataset))
    saves = []
    unlearner._save_checkpoint, save = lambda *a, **k: (saves.append(a), save(*a, **k)), unlearner._save_checkpoint
    unlearner.fit(train_data, verbose=False)
    assert saves == [(2,)]
    state = torch.load(unlearner.saved_model_file, weights_only=True)
    assert {"config", "epoch", "cur_step", "best_valid_score", "state_dict", "other_parameter", "optimizer"} <= set(
        state
    )
    assert state["config"]["model"] == "NeuMF"


def test_with_validation_the_best_model_is_kept(make_config):
    config = make_config(epochs=3, eval_args={"split": {"RS": [0.6, 0.2, 0.2]}, "mode": "full"})
    unlearner = train_model(config, create_dataset(config))
    assert unlearner.best_valid_result["ndcg@10"] > 0


def test_saved_files_hold_no_optimizer_and_load_safely(fresh_copy, tmp_path):
    fresh_copy.save(tmp_path / "model.pth")
    state = torch.load(tmp_path / "model.pth", weights_only=True)
    assert "optimizer" not in state
    fresh_copy.model.user_mf_embedding.weight.data.zero_()
    fresh_copy.load(tmp_path / "model.pth")
    assert fresh_copy.model.user_mf_embedding.weight.any()


def test_a_loaded_graph_model_does_not_serve_the_vectors_of_before(make_config, tmp_path):
    config = make_config("NGCF", embedding_size=8, hidden_size_list=[8], epochs=1)
    unlearner = train_model(config, create_dataset(config))
    model, asked = unlearner.model.eval(), {"user_id": torch.tensor([1, 2])}
    unlearner.save(tmp_path / "model.pth")
    expected = model.full_sort_predict(asked)
    with torch.no_grad():
        model.item_embedding.weight.mul_(3.0)
    model.restore_user_e = None
    assert not torch.allclose(model.full_sort_predict(asked), expected)
    unlearner.load(tmp_path / "model.pth")
    assert torch.equal(model.full_sort_predict(asked), expected)


def test_a_resumed_graph_model_does_not_serve_the_vectors_of_before(make_config):
    config = make_config("NGCF", embedding_size=8, hidden_size_list=[8], epochs=1)
    unlearner = train_model(config, dataset := create_dataset(config))
    unlearner.fit(data_preparation(config, dataset)[0], verbose=False)
    model, asked = unlearner.model.eval(), {"user_id": torch.tensor([1, 2])}
    model.restore_user_e = None
    expected = model.full_sort_predict(asked)
    with torch.no_grad():
        model.item_embedding.weight.mul_(3.0)
    model.restore_user_e = None
    assert not torch.allclose(model.full_sort_predict(asked), expected)
    unlearner.resume_checkpoint(unlearner.saved_model_file)
    assert torch.equal(model.eval().full_sort_predict(asked), expected)


def test_a_copy_unlearns_and_the_original_stays(trained):
    before = copy.deepcopy(trained.model.state_dict())
    twin = trained.copy()
    assert type(twin) is type(trained)
    assert twin.dataset is trained.dataset
    twin.unlearn(WithdrawalRequest.users(["u3"]), "ResetUE")
    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in twin.model.state_dict().items())


def test_pickled_checkpoints_need_trust(make_config, trained, tmp_path):
    path = tmp_path / "stock.pth"
    torch.save({"config": trained.config, "state_dict": trained.model.state_dict(), "other_parameter": {}}, path)
    config = make_config()
    unlearner = Unlearner(config, get_model("NeuMF")(config, trained.dataset))
    with pytest.raises(UntrustedFileError, match="trust_checkpoint=True"):
        unlearner.load(path)
    config["trust_checkpoint"] = True
    unlearner.load(path)
    assert torch.equal(unlearner.model.user_mf_embedding.weight, trained.model.user_mf_embedding.weight)


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_broken_checkpoints_are_named(fresh_copy, tmp_path, content):
    path = tmp_path / "broken.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ConfigError, UntrustedFileError), match=r"broken\.pth"):
        fresh_copy.load(path)


def test_unlearn_needs_a_data_set(trained):
    with pytest.raises(ConfigError, match="does not know its data set"):
        Unlearner(trained.config, trained.model).unlearn(WithdrawalRequest.users(["u1"]))


def test_unlearn_moves_on_and_counts_the_cost(fresh_copy):
    before = len(fresh_copy.dataset.interactions().users)
    fresh_copy.unlearn(WithdrawalRequest.users(["u3"]))
    user = fresh_copy.dataset.token2id("user_id", "u3")
    assert not (fresh_copy.dataset.interactions().users == user).any()
    assert len(fresh_copy.dataset.interactions().users) < before
    assert fresh_copy.last_cost.seconds > 0
    assert fresh_copy.withdrawn_users.tolist() == [user]


def test_the_view_is_made_when_it_is_asked_for(fresh_copy, monkeypatch):
    made = []
    without = WithdrawalDataset.without
    monkeypatch.setattr(WithdrawalDataset, "without", lambda *given: made.append(given) or without(*given))
    fresh_copy.unlearn(WithdrawalRequest.users(["u3"]))
    assert not made
    view = fresh_copy.dataset
    assert view is fresh_copy.dataset
    assert len(made) == 1


def test_a_withdrawal_builds_no_optimizer(fresh_copy, monkeypatch):
    """Torch imports its compiler with the first optimizer of a process: over a second of a withdrawal by the command line."""
    monkeypatch.setattr(Trainer, "_build_optimizer", lambda *_: pytest.fail("an optimizer was built"))
    fresh_copy.unlearn(WithdrawalRequest.users(["u3"]))
    Unlearner(fresh_copy.config, fresh_copy.model, fresh_copy.dataset)


def test_nothing_beside_the_parameters_remembers(make_config, tmp_path):
    config = make_config(epochs=2, checkpoint_dir=str(tmp_path))
    dataset = create_dataset(config)
    train_data, _, test_data = data_preparation(config, dataset)
    unlearner = Unlearner(config, get_model("NeuMF")(config, dataset), dataset)
    unlearner.fit(train_data, verbose=False)
    assert unlearner.optimizer.state
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    assert not unlearner.optimizer.state
    assert all(parameter.grad is None for parameter in unlearner.model.parameters())
    with pytest.raises(ConfigError, match="older than the last withdrawal"):
        unlearner.evaluate(test_data, load_best_model=True)
    unlearner.unlearn(WithdrawalRequest.users(["u4"]), "Retrain")
    held = {id(parameter) for group in unlearner.optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in unlearner.model.parameters()}


@pytest.fixture
def trained_with_file(make_config):
    """An Unlearner with the checkpoint of its training, and its loaders."""
    config = make_config(epochs=2, eval_args={"split": {"RS": [0.6, 0.2, 0.2]}, "mode": "full"})
    dataset = create_dataset(config)
    loaders = data_preparation(config, dataset)
    unlearner = Unlearner(config, get_model("NeuMF")(config, loaders[0]._dataset), dataset)
    unlearner.fit(*loaders[:2], verbose=False)
    return unlearner, loaders


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("how", ["load", "resume_checkpoint", "evaluate"])
def test_no_file_of_before_brings_back_who_left(trained_with_file, tmp_path, how, saved):
    unlearner, loaders = trained_with_file
    before = str(unlearner.saved_model_file)
    user = unlearner.dataset.interactions().user_ids(["u3"])[0]
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    row = unlearner.model.user_mf_embedding.weight[user].detach().clone()
    if saved:
        unlearner.save(tmp_path / "model.pth")
    call = getattr(unlearner, how)
    if how == "evaluate":
        call = partial(unlearner.evaluate, loaders[2], load_best_model=True, model_file=before)
    with pytest.raises(LedgerError, match="withdrawn rows back"):
        call(*(() if how == "evaluate" else (before,)))
    assert torch.equal(unlearner.model.user_mf_embedding.weight[user], row)


def test_what_was_trained_since_may_be_loaded(trained_with_file):
    unlearner, _ = trained_with_file
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    loaders = data_preparation(unlearner.config, unlearner.dataset)
    unlearner.fit(*loaders[:2], verbose=False)
    assert unlearner.evaluate(loaders[2], load_best_model=True)
    unlearner.resume_checkpoint(unlearner.saved_model_file)
    assert unlearner.start_epoch >= 1


def test_no_training_goes_on_from_a_file_without_optimizer(trained_with_file, tmp_path):
    unlearner, _ = trained_with_file
    unlearner.save(tmp_path / "model.pth")
    before = unlearner.saved_model_file
    with pytest.raises(ConfigError, match="without its optimizer"):
        unlearner.resume_checkpoint(tmp_path / "model.pth")
    assert unlearner.saved_model_file == before


@pytest.mark.parametrize("request_", [{"users": ["u3"]}, ["u3"], "u3"])
def test_what_is_no_request_is_refused_with_how_to_make_one(fresh_copy, request_):
    with pytest.raises(
        RequestError, match=r"one of type (dict|list|str) was given: make it with WithdrawalRequest\.users"
    ):
        fresh_copy.unlearn(request_)


@pytest.mark.parametrize("model", ["NeuMF", "NCL", "RecVAE"])  # the last two have trainers of their own
def test_a_trainer_that_trains_nothing_leaves_no_tensorboard_folder(make_config, tmp_path, monkeypatch, model):
    keys = {"num_clusters": 3} if model == "NCL" else {}
    config = make_config(model, **keys, **({} if model == "NeuMF" else {"embedding_size": 8}))
    dataset = create_dataset(config)
    made = get_model(model)(config, data_preparation(config, dataset)[0]._dataset)
    monkeypatch.chdir(tmp_path)
    Unlearner(config, made, dataset)
    assert not list(tmp_path.iterdir())


def test_a_trainer_makes_its_tensorboard_folder_with_its_first_scalar(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unlearner = Unlearner(trained.config, copy.deepcopy(trained.model), trained.dataset)
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF")
    assert not list(tmp_path.iterdir())
    unlearner.tensorboard.add_scalar("Loss/Train", 1.0, 0)
    assert list(tmp_path.glob("log_tensorboard/*/events.out.tfevents.*"))
