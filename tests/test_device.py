"""The same values on a card as on the CPU, within the tolerance that each test states.

Where there is no card, the half ``cpu`` still runs every call, from the same start to the same comparison, and the half
``cuda`` is skipped. On a card sums are taken in another order, and sums of scattered rows in no fixed one, so that no bits
are compared. Dropout is off: a card draws other masks.
"""

import copy

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.compare.assessment import Assessment, serve_one
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.evaluator.mio import membership_oracle
from recbole_unlearn.evaluator.refit import refit_oracle
from recbole_unlearn.lineage.digest import weights_digest
from recbole_unlearn.methods.influence_function import IF, SCIF, SIF, SCIFItems
from recbole_unlearn.methods.redraw import RedrawItems
from recbole_unlearn.testing import flat
from recbole_unlearn.trainer import train_for_method, train_model

MODELS = ("NeuMF", "LightGCN", "BPR")
USERS = [f"u{number}" for number in range(3, 13)]
REQUEST = WithdrawalRequest.users(USERS)
MIXED = WithdrawalRequest.users(USERS[:2]) | WithdrawalRequest.interactions([("u15", "i1"), ("u16", "i2")])


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no card here: the CPU is compared with itself alone")
    return torch.device(request.param)


def config_on(make_config, model, device, **keys):
    if model == "NeuMF":
        keys = {"dropout_prob": 0.0, **keys}
    config = make_config(model, **{"epochs": 2, "show_progress": False, "parallel_jobs": 1, **keys})
    config["device"] = torch.device(device)
    return config


@pytest.fixture(scope="module")
def originals(make_config):
    """Return a function that gives a model, trained once on the CPU, on any device."""
    kept = {}

    def on(device, name, **keys):
        config = config_on(make_config, name, device, **keys)
        if name not in kept:
            on_cpu = config_on(make_config, name, "cpu", epochs=20)
            data = create_dataset(on_cpu)
            kept[name] = data, train_model(on_cpu, data).model.state_dict()
        data, state = kept[name]
        model = config.model_class(config, data_preparation(config, data)[0]._dataset).to(device)
        model.load_state_dict(state)
        return Unlearner(config, model.eval(), data)

    return on


def distance(model, reference, start=None):
    """Return |a - b| over |b|, or over how far b has moved from where it started."""
    a, b = flat(model).cpu().double(), flat(reference).cpu().double()
    moved = b if start is None else b - flat(start).cpu().double()
    return float((a - b).norm() / moved.norm())


def on_device(unlearner, device):
    assert {value.device.type for value in unlearner.model.state_dict().values()} == {device.type}
    return unlearner


@pytest.mark.parametrize("name", MODELS)
def test_training(make_config, device, name):
    runs = [config_on(make_config, name, place) for place in ("cpu", device)]
    reference, here = (train_model(config, create_dataset(config)) for config in runs)
    on_device(here, device)
    losses = [list(run.train_loss_dict.values()) for run in (reference, here)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert distance(here.model, reference.model) < 1e-3


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("method", "request_", "most"),
    [
        (
            SCIF(newton_tolerance=1e-9),
            REQUEST,
            1e-2,
        ),  # rounding of the weights by 2e-7 moves NeuMF's rows by up to 2e-3
        (SCIF(newton_tolerance=1e-9, cg_tolerance=1e-6), MIXED, 1e-2),
        (SIF(), MIXED, 1e-2),
        (IF(damping=10.0, cg_tolerance=1e-6), REQUEST, 1e-3),
        (IF(), REQUEST, 3e-2),  # conjugate gradients stop at a residual of 1e-2, one product earlier or later
        (SCIFItems(newton_steps=1), MIXED, 1e-2),
    ],
    ids=["SCIF", "SCIF mixed", "SIF mixed", "IF", "IF defaults", "SCIF-items"],
)
def test_influence(originals, device, name, method, request_, most):
    if isinstance(method, SCIFItems) and name != "NeuMF":
        pytest.skip("NeuMF alone has item blocks")
    start = originals("cpu", name).model
    reference, here = (originals(place, name) for place in ("cpu", device))
    for unlearner in (reference, here):
        unlearner.unlearn(request_, method)
    assert distance(on_device(here, device).model, reference.model, start) < most


@pytest.mark.parametrize("name", MODELS)
def test_redraw_items(originals, device, name):
    """One epoch of relearning: with more, the best epoch may be another one on ties."""
    method = RedrawItems(relearn_share=0.01)
    reference, here = (originals(place, name) for place in ("cpu", device))
    for unlearner in (reference, here):
        unlearner.unlearn(REQUEST, method)
    assert distance(on_device(here, device).model, reference.model) < 1e-2


@pytest.mark.parametrize("name", MODELS)
def test_oracles(originals, device, name):
    """The AUC of the refit oracle within .002, that of the trained networks within .03 (early stopping may differ)."""
    answers = []
    for place in ("cpu", device):
        unlearner = originals(place, name)
        data = unlearner.dataset
        asked = Assessment(unlearner.config, data, REQUEST.resolve(data.interactions()))
        refit = refit_oracle(unlearner.model, asked.refit_question, 1)
        strong = membership_oracle(unlearner.model, asked.membership, "strong", 1)
        paper = membership_oracle(unlearner.model, asked.membership, "paper", 1)
        answers.append([refit["auc"], strong["auc"], paper["auc"], strong["whole_user"]["auc"]])
    gaps = np.abs(np.subtract(*answers))
    assert gaps[0] < 0.002, answers
    assert gaps[1:].max() < 0.03, answers


@pytest.mark.parametrize("method", ["SISA", "RecEraser"])
@pytest.mark.parametrize("name", MODELS)
def test_shards(make_config, device, name, method, tmp_path):
    """RecEraser has shards of whole users: one user touches one shard, and the other is taken over where it lies."""
    scores = []
    for place in ("cpu", device):
        config = config_on(make_config, name, place, shard_count=2, checkpoint_dir=str(tmp_path / str(place)))
        data = create_dataset(config)
        learned = train_for_method(config, data, method, saved=False)
        on_device(learned, torch.device(place)).unlearn(WithdrawalRequest.users(["u3"]), method)
        users = torch.arange(1, 40)
        rows = Interaction({"user_id": users, "item_id": users % 20 + 1}).to(place)
        with torch.no_grad():
            scores.append(on_device(learned, torch.device(place)).model.eval().predict(rows).cpu())
    assert (scores[1] - scores[0]).norm() < 1e-2 * scores[0].norm()


@pytest.mark.parametrize("name", MODELS)
def test_one_person_is_served_saved_and_loaded_on_the_other_device(originals, device, name, tmp_path):
    unlearner = originals(device, name, ledger_dir=str(tmp_path / "ledger"))
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    serve_one(unlearner, unlearner.dataset)
    unlearner.save(tmp_path / "model.pth")
    state = torch.load(tmp_path / "model.pth", weights_only=True, map_location="cpu")["state_dict"]
    assert weights_digest(state) == weights_digest(unlearner.model.state_dict())
    copied = copy.deepcopy(unlearner.model).to("cpu").state_dict()
    assert all(torch.equal(state[key], value) for key, value in copied.items())


@pytest.mark.parametrize("name", MODELS)
def test_ranking_metrics(originals, device, name):
    results = []
    for place in ("cpu", device):
        unlearner = originals(place, name)
        results.append(unlearner.evaluate(data_preparation(unlearner.config, unlearner.dataset)[2]))
    assert results[0] == pytest.approx(results[1], abs=2e-3)


def test_use_gpu_false_stays_on_the_cpu(make_config):
    assert make_config("BPR", use_gpu=False)["device"] == torch.device("cpu")
