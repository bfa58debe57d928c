import inspect
import sys

import pytest
from recbole.utils.argument_list import dataset_arguments

from recbole_unlearn import Config, run_unlearn
from recbole_unlearn.config import _literal
from recbole_unlearn.exceptions import ConfigError


def test_later_layers_win(tmp_path, monkeypatch):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("learning_rate: 0.1\nridge: 2.0\nepochs: 3\n")
    second.write_text("learning_rate: 0.2\nepochs: 4\n")
    monkeypatch.setattr(sys, "argv", ["x", "--epochs=6"])
    config = Config(
        "NeuMF", "ml-100k", [str(first), str(second)], {"protocol": "paper", "learning_rate": 0.3, "epochs": 5}
    )
    assert config["train_batch_size"] == 2048  # RecBole's overall
    assert config["mf_embedding_size"] == 64  # RecBole's model
    assert config["eval_args"]["split"] == {"RS": [0.5, 0, 0.5]}  # the protocol
    assert config["withdraw_alpha"] == 5.0  # our overall
    assert config["newton_steps"] == 50  # our method
    assert config["ridge"] == 2.0  # first file
    assert config["learning_rate"] == 0.3  # config_dict over both files
    assert config["epochs"] == 6  # command line


def test_without_a_protocol_training_is_recboles():
    config = Config("NeuMF", "ml-100k")
    assert config["epochs"] == 300
    assert config["eval_args"]["split"] == {"RS": [0.8, 0.1, 0.1]}


def test_lightgcn_has_the_squared_regulariser():
    assert Config("LightGCN", "ml-100k")["require_pow"] is True


def test_protocol_sets_epochs_by_model():
    assert Config("LightGCN", "ml-100k", config_dict={"protocol": "paper"})["epochs"] == 200
    assert Config("BPR", "ml-100k", config_dict={"protocol": "paper"})["epochs"] == 300


def test_our_keys_have_their_own_heading():
    text = str(Config("NeuMF", "ml-100k"))
    section = text.split("Unlearning Hyper Parameters")[1].split("Hyper Parameters")[0]
    assert "withdraw_alpha" in section
    assert "newton_steps" in section


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dampping": 1}, "unknown key 'dampping'; did you mean 'damping'?"),
        ({"withdraw_alpha": 0}, "strictly between 0 and 100"),
        ({"withdraw_alpha": 100}, "strictly between 0 and 100"),
        ({"withdraw_alpha": "many"}, "withdraw_alpha is 'many'; it must be of type float"),
        ({"withdraw_alpha": float("nan")}, "withdraw_alpha is nan"),
        ({"withdraw_alpha": True}, "withdraw_alpha is True"),
        ({"withdraw_scope": "test"}, "allowed: train, all"),
        ({"methods": ["SCFI"]}, "method 'SCFI' is not known; did you mean 'SCIF'?"),
        ({"methods": []}, "name at least one method"),
        ({"mio_protocols": "strong,weak"}, "mio_protocols is 'weak'"),
        ({"protocol": "papr"}, "protocol 'papr' is not known"),
        ({"topk": [0]}, "topk must be a positive integer"),
        ({"trust_checkpoint": "perhaps"}, "it must be of type bool"),
        ({"seed": -1}, "seed is -1; allowed: 0 or more"),
        ({"seed": 2**32}, "allowed: 0 to 4294967295"),
        ({"seed": "abc"}, "seed is 'abc'; it must be of type int"),
        ({"withdraw_seed": -1}, "withdraw_seed is -1"),
        ({"epochs": 0}, "epochs is 0; allowed: 1 or more"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"learning_rate": "abc"}, "learning_rate is 'abc'"),
        ({"train_batch_size": 0}, "allowed: 1 or more"),
        ({"mf_embedding_size": -3}, "mf_embedding_size is -3"),
        ({"mf_train": "maybe"}, "it must be of type bool"),
        ({"metrics": ["NDGC"]}, "There is no metric named 'NDGC'"),
    ],
)
def test_wrong_values_are_named(keys, message):
    with pytest.raises(ConfigError) as error:
        Config("NeuMF", "ml-100k", config_dict=keys)
    assert message in str(error.value)


def test_arguments_are_given_instead_of_read_from_the_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mine.py", "positional", "--my_flag", "--epochs=9"])
    assert Config("NeuMF", "ml-100k", argv=())["epochs"] == 300
    config = Config("NeuMF", "ml-100k", config_dict={"epochs": 5}, argv=["--epochs", "6", "--output_dir=a=b"])
    assert config["epochs"] == 6  # over config_dict, as the command line of the process
    assert config["output_dir"] == "a=b"
    assert sys.argv == ["mine.py", "positional", "--my_flag", "--epochs=9"]
    assert not [name for name in vars(config) if "argv" in name]  # it can name the file of a request
    with pytest.raises(ConfigError, match="'epochs' is not of the form --key=value"):
        Config("NeuMF", "ml-100k", argv=["epochs"])
    with pytest.raises(ConfigError, match="--epochs is given twice"):
        Config("NeuMF", "ml-100k", argv=["--epochs=1", "--epochs=2"])


def test_config_and_run_unlearn_take_the_same_arguments_by_the_same_names():
    ours, run = (list(inspect.signature(taker).parameters) for taker in (Config, run_unlearn))
    assert [name for name in run if name != "saved"] == ours  # `saved` is run_recbole's


def test_unknown_keys_of_the_command_line_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--ridg=1"])
    with pytest.raises(ConfigError, match="did you mean 'ridge'"):
        Config("NeuMF", "ml-100k")


@pytest.mark.parametrize("key", ["wandb_project", "encoding", "ip", "alias_of_user_id"])
def test_keys_that_recboles_core_or_the_model_reads_are_accepted(key):
    assert Config("NeuMF", "ml-100k", config_dict={key: "x"})[key] == "x"


def test_foreign_keys_are_one_warning_line_and_near_misses_are_errors(caplog):
    """One yaml may serve many models and hold keys of somebody's own."""
    foreign = {"n_layers": 2, "early_stop": 3, "neg_sampling": None, "my_gadget": 1, "loss": "x"}
    config = Config("NeuMF", "ml-100k", config_dict=foreign, argv=())
    assert config["my_gadget"] == 1
    (line,) = [record.getMessage() for record in caplog.records if "reads" in record.getMessage()]
    assert line == "nothing in a run of NeuMF reads: n_layers, early_stop, neg_sampling, my_gadget, loss"
    for key in ("learning_rat", "epoch", "withdraw_user", "mio_strength", "solver", "curvature", "topK", "Scif.ridge"):
        with pytest.raises(ConfigError, match=f"unknown key '{key}'"):
            Config("NeuMF", "ml-100k", config_dict={key: 1}, argv=())


def test_unknown_model_is_named():
    with pytest.raises(ConfigError, match="did you mean 'NeuMF'"):
        Config("NeuFM", "ml-100k")


def test_missing_model_is_an_error_not_a_traceback():
    with pytest.raises(ConfigError, match="model need to be specified"):
        Config(dataset="ml-100k")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", "is no yaml"),
        ("just text", "holds no"),
        ("", "holds no"),
        (None, "does not exist"),
        ("a: 2024-13-45", "is no yaml: month must be in 1..12"),
        ("a: !!int abc", "is no yaml"),
        ("a: " + "[" * 3000, "is no yaml"),
        ("epochs: " + "1" * 5000, "is no yaml"),
        ("1: 2", "has the key 1, which is no text"),
        ("topk: &x [*x]", "unfolds to more than"),
        (
            "\n".join(["a0: &a0 [x]", *(f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 10)}]" for n in range(9))]),
            "unfolds",
        ),
    ],
    ids=range(11),
)
def test_bad_config_files(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        Config("NeuMF", "ml-100k", [str(path)])


def test_values_are_never_executed(tmp_path):
    proof = tmp_path / "proof"
    Config("NeuMF", "ml-100k", config_dict={"wandb_project": f"open({str(proof)!r}, 'w')"})
    assert not proof.exists()


@pytest.mark.parametrize("text", ["re.csv", "1/0", "os", "a b", "(" * 300, "[5,inf)"])
def test_strings_that_are_no_literals_stay_strings(text):
    assert _literal(text) == text


def test_one_config_does_not_change_the_next():
    before = list(dataset_arguments)
    Config("NeuMF", "ml-100k")
    assert dataset_arguments == before


def test_the_given_dict_is_not_changed():
    given = {"epochs": "3"}
    assert Config("NeuMF", "ml-100k", config_dict=given)["epochs"] == 3
    assert given == {"epochs": "3"}


def test_method_options_are_each_methods_own():
    config = Config("NeuMF", "ml-100k", config_dict={"ridge": 3.0})
    assert config.method_options("SCIF")["ridge"] == 3.0
    assert config.method_options("Retrain") == {}
    config["ridge"] = 7.0
    assert config.method_options("SCIF")["ridge"] == 7.0


def test_no_progress_bars_without_a_terminal():
    assert Config("NeuMF", "ml-100k")["show_progress"] is False
    assert Config("NeuMF", "ml-100k", config_dict={"show_progress": True})["show_progress"] is True


@pytest.mark.parametrize("keys", [{"nproc": 2}, {"world_size": 4, "nproc": 1}, {"local_rank": 0, "nproc": 2}])
def test_several_processes_are_refused(make_config, keys):
    with pytest.raises(ConfigError, match="leave nproc at 1"):
        make_config(**keys)
    assert make_config(nproc=1)["single_spec"]
