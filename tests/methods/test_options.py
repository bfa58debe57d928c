"""Options: one default in the class and in the yaml, checked when a method is made, for all methods or for one."""

import dataclasses

import pytest

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.methods import method_class
from recbole_unlearn.methods.influence_function import IF, SCIF
from recbole_unlearn.methods.receraser import RecEraser
from recbole_unlearn.methods.sisa import SISA
from recbole_unlearn.settings import presets


@pytest.mark.parametrize("name", presets.names("method"))
def test_yaml_and_class_have_the_same_options(name):
    options = {one.name: one.default for one in dataclasses.fields(method_class(name))}
    assert options == presets.load("method", name)
    assert {key.name: key.default for key in presets.keys("method", name)} == options
    assert all(key.meaning for key in presets.keys("method", name))


@pytest.mark.parametrize("name", presets.names("method"))
def test_a_yaml_lists_only_what_differs(name):
    import yaml

    content = yaml.safe_load((presets.folder() / "method" / f"{name}.yaml").read_text()) or {}
    base = presets.load("method", content.pop("extends", "none"))
    same = [key for key, value in content.items() if base.get(key, dataclasses.MISSING) == value]
    assert same in ([], ["shared_steps"])  # whose meaning differs for SCIF-items


def test_methods_are_made_by_hand_and_cannot_be_changed():
    assert SCIF(ridge=0.01).options == {**SCIF().options, "ridge": 0.01}
    assert IF().select == "all"
    assert SISA(shard_count=4) == SISA(shard_count=4) != SISA()
    with pytest.raises(dataclasses.FrozenInstanceError):
        SCIF().ridge = 1.0
    with pytest.raises(TypeError, match="rigde"):
        SCIF(rigde=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SCIF(ridge=0), "SCIF: ridge is 0; allowed: more than 0"),
        (lambda: SCIF(ridge="big"), "SCIF: ridge is 'big'; allowed: a number"),  # type: ignore[arg-type]
        (lambda: SCIF(ridge=float("nan")), "SCIF: ridge is nan; allowed: a number"),
        (lambda: SCIF(newton_steps=1.5), "SCIF: newton_steps is 1.5; allowed: a whole number"),  # type: ignore[arg-type]
        (lambda: SCIF(newton_steps=True), "SCIF: newton_steps is True; allowed: a whole number"),
        (lambda: SCIF(collaborate=1), "SCIF: collaborate is 1; allowed: True or False"),  # type: ignore[arg-type]
        (lambda: IF(damping=-1.0), "IF: damping is -1.0; allowed: 0 or more"),
        (lambda: SCIF(zbar_rows="auto"), "SCIF: zbar_rows is 'auto'; allowed: catalogue, withdrawn"),  # type: ignore[arg-type]
        (lambda: SISA(shard_count=0), "SISA: shard_count is 0; allowed: 1 or more"),
        (lambda: RecEraser(shard_partition="age"), "allowed: user, item, interaction, transport, random"),
        (lambda: RecEraser(shard_count=None), "RecEraser: shard_count is None; allowed: a whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_is_out_of_range_is_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_an_option_reaches_one_method_alone(make_config):
    config = make_config(**{"ridge": 0.5, "SCIF.ridge": 0.25, "SCIF-items.newton_steps": 7})
    assert config.method_options("SCIF")["ridge"] == 0.25
    assert config.method_options("SIF")["ridge"] == 0.5
    assert config.method_options("SCIF-items")["newton_steps"] == 7
    with pytest.raises(ConfigError, match=r"SCIF.rigde: SCIF has no option 'rigde'; did you mean 'ridge'\?"):
        make_config(**{"SCIF.rigde": 1.0})
    with pytest.raises(ConfigError, match="unknown key"):
        make_config(**{"Scif.ridge": 1.0})


def test_options_of_a_model_and_of_a_data_set_stand_above_the_methods_and_below_the_users(make_config):
    """LightGCN's yaml says relearn_rate; so does, in a test, what the user gives."""
    assert make_config("NeuMF").method_options("RedrawItems")["relearn_rate"] == 3.0
    assert make_config("LightGCN").method_options("RedrawItems")["relearn_rate"] == 5.0
    assert make_config("LightGCN", relearn_rate=2.0).method_options("RedrawItems")["relearn_rate"] == 2.0
    alone = make_config("LightGCN", **{"RedrawItems.relearn_rate": 7.0})
    assert alone.method_options("RedrawItems")["relearn_rate"] == 7.0
    assert alone.method_options("RedrawItems-ResetUE")["relearn_rate"] == 5.0
