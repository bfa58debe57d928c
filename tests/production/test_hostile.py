"""Nothing that is read from a file runs: neither what a pickle names, nor what it builds, nor a TorchScript archive."""

import io
import os
import pickle
import zipfile

import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.cli import main
from recbole_unlearn.lineage import traces
from recbole_unlearn.lineage.traces import Wanted, traces_of
from recbole_unlearn.production.contents import read_content
from recbole_unlearn.production.found import NotInspected

WANTED = Wanted(WithdrawalRequest.users(["u3"]))


class Script(torch.nn.Module):
    """A module whose loading writes a file."""

    @torch.jit.export
    def __getstate__(self):
        return torch.ones(1), self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        torch.save(state[0], "owned")
        self.training = state[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_torchscript_is_not_inspected_and_does_not_run(tmp_path):
    torch.jit.script(Script()).save("model.pt")
    with zipfile.ZipFile("model.pt") as archive:
        assert any(name.endswith("constants.pkl") for name in archive.namelist())
    torch.jit.load("model.pt")
    assert os.path.exists("owned"), "the archive is harmless, so this test would show nothing"
    os.remove("owned")
    with pytest.raises(NotInspected):
        read_content("model.pt")
    (found,) = traces_of(tmp_path / "model.pt", WANTED)
    assert found.remedy == "look"
    assert not os.path.exists("owned")


class Build:
    """A pickle whose BUILD gives a class or a function of the auditing process another state."""

    def __init__(self, what, state):
        self.what, self.state = what, state


class Pickler(pickle._Pickler):
    """Writes `Build` as the name of a thing, a state, and BUILD."""

    def save(self, thing, save_persistent_id=True):
        if not isinstance(thing, Build):
            super().save(thing, save_persistent_id)
            return
        self.save_global(thing.what)
        super().save(thing.state)
        self.write(pickle.BUILD)


BUILDS = {
    "a class": Build(traces.Trace, {"__str__": None}),
    "a function": Build(traces.traces_of, {"patched": True}),
    "slots": Build(traces.Wanted, (None, {"names": None})),
}


@pytest.mark.parametrize("case", BUILDS)
def test_a_pickle_cannot_change_the_process_that_reads_it(case, tmp_path):
    file, what = io.BytesIO(), BUILDS[case].what
    Pickler(file, 4).dump({"inter_feat": BUILDS[case]})
    before = dict(vars(what))
    (tmp_path / "hostile.pkl").write_bytes(file.getvalue())
    list(traces_of(tmp_path / "hostile.pkl", WANTED))
    assert dict(vars(what)) == before
    (tmp_path / "ratings.csv").write_text("user_id,item_id\nu3,i1\n")
    (tmp_path / "r.csv").write_text("user_id\nu3\n")
    assert main(["--audit=.", "--withdraw=r.csv"]) == 1


CALLS = {
    "system": (os.system, ("touch owned",)),
    "exec": (exec, ("open('owned', 'w')",)),
    "open": (open, ("owned", "w")),
    "getattr": (getattr, (os, "mkdir")),
}


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.parametrize("inside", ["pickle", "torch", "joblib"])
def test_nothing_that_a_file_names_is_called(case, inside, tmp_path):
    class Call:
        def __reduce__(self):
            function, arguments = CALLS[case]
            return function, tuple("os" if argument is os else argument for argument in arguments)

    if inside == "torch":
        torch.save({"state_dict": Call()}, "file")
    elif inside == "joblib":
        __import__("joblib").dump([Call()], "file", compress=3)
    else:
        (tmp_path / "file").write_bytes(pickle.dumps({"state_dict": Call()}))
    list(traces_of(tmp_path / "file", WANTED))
    assert sorted(os.listdir()) == ["file"]
