"""Decides which files are deleted as a whole: old models of the data set, and pickles that RecBole makes again."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from recbole_unlearn.lineage.told import call_of
from recbole_unlearn.production.contents import as_dict, as_list, read_content
from recbole_unlearn.production.purging.cut import LeftAlone, Rows, leaving_alone
from recbole_unlearn.production.stand_ins import StandIn, walk
from recbole_unlearn.production.torch_files import as_tensor, weights_digests
from recbole_unlearn.production.trace import MUST_FIX, Trace
from recbole_unlearn.production.wanted import Wanted

MODEL = {"model", "optimizer moments", "cached embeddings"}
PICKLED = "data set or dataloaders"
_SHARD = {"digest", "state", "seconds"}
_PER_USER = "with a row per user"
_BY_HAND = "unlearn it (--model_file), or delete it by hand"


@dataclass(frozen=True)
class Models:
    """What is known of the models of the data set.

    Args:
        wanted: Knows the data set, its sizes, and the models that the ledger vouches for.
        owing: Models that owe a withdrawal, which the next run carries out.
    """

    wanted: Wanted
    owing: Collection[Path] = ()


def fate_of(path: Path, traces: Collection[Trace], models: Models) -> str:
    """Return ``"delete"`` or ``"strip"`` for a file of objects.

    Args:
        path: The file.
        traces: What was found in it.
        models: What is known of the models.

    Raises:
        LeftAlone: It is not certain that it is an old model, or a rebuildable pickle, of this data set and nothing else.
    """
    kinds = {trace.kind for trace in traces if trace.group == MUST_FIX}
    with leaving_alone("it cannot be read", "inspect it by hand, or delete it"):
        content = read_content(path)
        if PICKLED in kinds:
            _check_pickle(content, models.wanted)
            return "delete"
        return _fate_of_model(path, content, traces, models)


def _check_pickle(content: Any, wanted: Wanted) -> None:
    """Raise LeftAlone if a pickle is anything but data sets and dataloaders of RecBole, all of this data set."""
    others = [thing for thing in _outermost(content) if not _is_recboles(thing)]
    named = {name for thing in walk(content) for name in _datasets(thing)}
    if others or not named:
        raise LeftAlone("a pickle with more in it than a data set of RecBole: write it anew, or delete it by hand")
    if named != {wanted.spec.dataset}:
        raise LeftAlone("a pickled data set of another name: inspect it by hand, or delete it by hand")


def _outermost(content: Any) -> Iterator[Any]:
    waiting = [content]
    while waiting:
        thing = waiting.pop()
        inside = None if _is_recboles(thing) else as_list(thing)
        if inside is None:
            if thing is not None:
                yield thing
        else:
            waiting += inside


def _is_recboles(thing: Any) -> bool:
    return isinstance(thing, StandIn) and thing.stands_for.split(".")[0] in ("recbole", "recbole_unlearn")


def _datasets(thing: Any) -> Iterator[str]:
    """Yield the names of the data sets that an object is one of."""
    attributes = thing.attributes if _is_recboles(thing) else {}
    if "inter_feat" in attributes and "field2id_token" in attributes:
        yield str(attributes.get("dataset_name"))


def _fate_of_model(path: Path, content: Any, traces: Collection[Trace], models: Models) -> str:
    top = as_dict(content) or {}
    wanted = models.wanted
    if set(top) == _SHARD:
        return _fate_of_shard(path, top, wanted)
    state, config = as_dict(top.get("state_dict")), as_dict(top.get("config"))
    if state is None or config is None:
        raise LeftAlone(f"a model that does not say of which data set it is: {_BY_HAND}")
    settings = as_dict(config.get("final_config_dict", config)) or {}
    if wanted.spec.dataset is None or settings.get("dataset") != wanted.spec.dataset:
        raise LeftAlone("a model of another data set, by its config: inspect it by hand")
    if wanted.vouches(weights_digests(state)):
        return "strip"
    lineage = as_dict(top.get("lineage")) or {}
    anchor = as_dict(lineage.get("ledger")) or {}
    if wanted.is_later(anchor.get("count"), anchor.get("head")):
        raise LeftAlone(f"it says that it was trained after all withdrawals, without a proof: {_BY_HAND}")
    if path.resolve() in {Path(model).resolve() for model in models.owing}:
        raise LeftAlone(
            f"it owes a withdrawal that was cut off: run {call_of('model_file', path)}, which carries it out"
        )
    _check_size(traces, wanted)
    return "delete"


def _check_size(traces: Collection[Trace], wanted: Wanted) -> None:
    per_user = any(trace.kind == "model" and trace.what.endswith(_PER_USER) for trace in traces)
    if not per_user or wanted.spec.n_users is None:
        raise LeftAlone(f"a model without a table of the users who withdrew: if it was trained with them, {_BY_HAND}")


def _fate_of_shard(path: Path, top: dict[Any, Any], wanted: Wanted) -> str:
    """Return that a shard of ours goes, or a world of a shadow audit: it is trained anew where it is needed."""
    state = as_dict(top["state"]) or {}
    tables = [tensor.shape for tensor in map(as_tensor, state.values()) if tensor is not None and len(tensor.shape) > 1]
    sizes = {shape[0] for shape in tables}
    known = {wanted.spec.n_users, wanted.spec.n_items}
    digest = str(top["digest"])
    in_store = path.parent.name == "shards" and path.stem == f"shard-{digest[:32]}"
    in_bank = path.parent.name == f"shadows-{digest[:16]}" and path.stem == f"world-{digest.rpartition('-')[2]}"
    if (in_store or in_bank) and None not in known and known <= sizes:
        return "delete"
    raise LeftAlone("a shard that does not say of which data set it is: delete it by hand")


def strip(stream: IO[bytes], out: IO[bytes]) -> Rows:
    """Write a model that the ledger vouches for without its optimizer and what it computed from every training row.

    Raises:
        LeftAlone: It is in a format that only its own program can write.
    """
    try:
        content = torch.load(io.BytesIO(stream.read()), map_location="cpu", weights_only=True)
    except Exception as error:
        raise LeftAlone("a current model with an optimizer, in RecBole's format: save it anew without it") from error
    content.pop("optimizer", None)
    content["other_parameter"] = {}
    torch.save(content, out)
    return Rows()
