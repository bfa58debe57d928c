"""Trains shards, one after the other or in parallel with joblib; both give the same bits."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import joblib
import numpy as np
import torch
from recbole.utils import init_seed

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.exceptions import ConfigError, InputError, ShardError
from recbole_unlearn.model.weights import model_weights
from recbole_unlearn.settings.check import our_keys
from recbole_unlearn.settings.revision import class_digest, source_digest
from recbole_unlearn.shards.slices import epochs_of_stage, go_on_from, seed_of_stage, slice_of_rows, stages_of
from recbole_unlearn.shards.store import ShardStore, TrainedShard, digest_of

Job = TypeVar("Job")
Result = TypeVar("Result")
_ATTEMPTS = 2
# What neither a shard's parameters nor their meaning depend on: where things are written, shown and computed.
CIRCUMSTANCES = {"checkpoint_dir", "data_path", "show_progress", "state", "gpu_id", "log_wandb", "dataset_save_path"}


@dataclass(frozen=True)
class ShardJob:
    """All that a worker needs to train one shard.

    Args:
        number: Which shard.
        config: A ``recbole_unlearn.Config``.
        dataset: The data set with the shard's rows only.
        trainer: Class of the trainer.
        seed: The shard's own seed, of its negatives, batches and dropout. The initial draw has the run's seed in all
            shards, so that their spaces are aligned: it is made before any row is seen.
        slices: In how many slices its rows are, see ``recbole_unlearn.shards.slices``.
        done: Stages that are trained already, from the first one on.
        slice_of_row: The slice of each row, where the tokens that decide it are left out.
    """

    number: int
    config: Any
    dataset: WithdrawalDataset
    trainer: type
    seed: int
    slices: int = 1
    done: tuple[TrainedShard, ...] = ()
    slice_of_row: np.ndarray | None = None

    def stages(self) -> list[WithdrawalDataset]:
        """Return the data set of each stage; the last one has all rows of the shard."""
        return stages_of(self.dataset, self._slices(), self.slices)

    def __getstate__(self) -> dict[str, Any]:
        """Return what leaves this process: no token of a user or an item, no row that the shard does not have."""
        return {**vars(self), "dataset": self.dataset.without_tokens(), "slice_of_row": self._slices()}

    def _slices(self) -> np.ndarray:
        known = self.slice_of_row
        return slice_of_rows(self.dataset, self.slices, self.seed) if known is None else known

    def digests(self) -> list[str]:
        """Return what the shard is trained from up to each stage, as one digest for each; the last one is the shard's."""
        settings = settings_of_training(self.config)
        settings |= {"model class": class_digest(self.config.model_class), "trainer": class_digest(self.trainer)}
        settings |= {"shard seed": str(self.seed), "torch": torch.__version__, "source": source_digest()}
        return [
            _digest(settings if self.slices == 1 else settings | {"stage": f"{number} of {self.slices}"}, rows)
            for number, rows in enumerate(self.stages(), start=1)
        ]


def settings_of_training(config: Any) -> dict[str, str]:
    """Return the keys on which trained parameters depend, as text: RecBole's, and of ours ``fast``."""
    others = CIRCUMSTANCES | our_keys().keys() - {"fast"}
    return {name: str(value) for name, value in config.final_config_dict.items() if name not in others}


def _digest(settings: dict[str, str], dataset: WithdrawalDataset) -> str:
    part = dataset.build()[0]
    rows = {name: values.numpy() for name, values in part.inter_feat.interaction.items()}
    tokens = {name: part.field2id_token[name].astype(str) for name in (part.uid_field, part.iid_field)}
    return digest_of(settings, {**rows, **{f"{name} tokens": values for name, values in tokens.items()}})


def train_shards(jobs: Sequence[ShardJob], store: ShardStore, alone: bool) -> dict[int, list[TrainedShard]]:
    """Train what neither the jobs nor the store have yet, and return the stages of all shards by number.

    Args:
        jobs: The shards; a stage that is ``done`` is taken if its digest is still what the shard is trained from.
        store: Has finished stages, and gets the new ones of a shard as soon as it is finished.
        alone: Whether to train one after the other in this process, so that each can be timed; else as
            ``parallel_backend`` and ``parallel_jobs`` of the config say.

    Raises:
        ShardError: A worker died, and died again when its shards were retried.
    """
    if not jobs:
        return {}
    digests = {job.number: job.digests() for job in jobs}
    done = {job.number: _finished(job, digests[job.number], store) for job in jobs}
    for attempt in range(_ATTEMPTS):
        waiting = [
            dataclasses.replace(job, done=tuple(done[job.number])) for job in jobs if len(done[job.number]) < job.slices
        ]
        try:
            for number, stages in side_by_side(train_shard, waiting, jobs[0].config, alone):
                for state, seconds in stages:
                    stage = TrainedShard(digests[number][len(done[number])], state, seconds)
                    store.save(stage)
                    done[number].append(stage)
            break
        except Exception as error:
            if not worker_died(error):
                raise
            if attempt == _ATTEMPTS - 1:
                left = sorted(job.number for job in jobs if len(done[job.number]) < job.slices)
                raise ShardError(
                    f"a worker died while it trained shards {left}, and died again when they were retried ({error!r}); "
                    f"if memory is short, lower parallel_jobs. Finished shards are kept: call again to go on with the rest"
                ) from error
    return done


def _finished(job: ShardJob, digests: Sequence[str], store: ShardStore) -> list[TrainedShard]:
    """Return the stages of a shard that need not be trained: the longest row of them from the first one on."""
    known, found = {stage.digest: stage for stage in job.done}, []
    for digest in digests:
        stage = known.get(digest) or store.load(digest)
        if stage is None:
            break
        found.append(stage)
    return found


def train_shard(job: ShardJob) -> tuple[int, list[tuple[dict[str, torch.Tensor], float]]]:
    """Train the stages of one sub-model that are not done, on one thread; return its number, and parameters and seconds
    of each of them."""
    config, trained = job.config, []
    state = job.done[-1].state if job.done else None
    with one_thread():
        start = time.perf_counter()
        for stage, dataset in list(enumerate(job.stages()))[len(job.done) :]:
            try:
                model = _trained(job, stage, dataset, state)
            except InputError:
                raise
            except Exception as error:  # whatever RecBole or somebody's model raises on few rows
                raise ConfigError(
                    f"{config['model']} cannot be trained on shard {job.number} with its {len(dataset.build()[0])} rows: "
                    f"{type(error).__name__}: {error}; lower shard_count"
                    f"{' or slice_count' if job.slices > 1 else ''}"
                ) from error
            state = {name: value.detach().cpu().clone() for name, value in model_weights(model).items()}
            seconds, start = time.perf_counter() - start, time.perf_counter()
            trained.append((state, seconds))
        return job.number, trained


def _trained(job: ShardJob, stage: int, dataset: WithdrawalDataset, before: dict[str, torch.Tensor] | None) -> Any:
    """Return the sub-model of a shard after a stage; one without rows stays as it is drawn."""
    config = job.config
    init_seed(config["seed"], config["reproducibility"])
    rows = dataset.of_models()
    model = config.model_class(config, rows).to(config["device"])
    if before is not None:
        go_on_from(model, before)
    if len(rows):
        train_data, _, _ = data_preparation(config, dataset)
        init_seed(seed_of_stage(job.seed, stage), config["reproducibility"])
        trainer = job.trainer(config, model)  # with a new optimizer
        trainer.epochs = epochs_of_stage(trainer.epochs, job.slices)
        trainer.fit(train_data, None, verbose=False, saved=False, show_progress=False)
    return model


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums are the same wherever a shard is trained, and processes do not compete for cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def side_by_side(
    work: Callable[[Job], Result], jobs: Sequence[Job], config: Any, alone: bool = False
) -> Iterator[Result]:
    """Yield what ``work`` returns for each job, as soon as it is finished (on Ray: as all are), in any order.

    Args:
        work: A function of a module, which workers find by its name.
        jobs: What it is called with.
        config: Has ``parallel_backend``, ``parallel_jobs`` and ``parallel_scheduler``.
        alone: Whether to work one after the other in this process.

    Raises:
        ConfigError: ``parallel_backend`` is dask or ray, and there is no cluster.
    """
    here = config["parallel_backend"] == "loky" and len(jobs) <= 1
    if alone or not jobs or here or config["parallel_jobs"] == 1:
        yield from map(work, jobs)
        return
    with joblib.parallel_config(**_backend(config)):
        return_as = "list" if config["parallel_backend"] == "ray" else "generator_unordered"  # which Ray has not
        parallel = joblib.Parallel(n_jobs=config["parallel_jobs"], return_as=return_as, batch_size=1)
        yield from parallel(joblib.delayed(work)(job) for job in jobs)


def check_cluster(config: Any) -> None:
    """Refuse a cluster that the config names and that is not there; its workers may still be on their way.

    Raises:
        ConfigError: As ``side_by_side``.
    """
    if config["parallel_backend"] != "loky" and config["parallel_jobs"] != 1:
        _backend(config, at_least=0)


def _backend(config: Any, at_least: int = 1) -> dict[str, Any]:
    """Return the keys of ``joblib.parallel_config``, or say what is missing: the cluster, or so many workers of it."""
    name, address = config["parallel_backend"], config["parallel_scheduler"]
    if name == "loky":
        return {"backend": "loky", "inner_max_num_threads": 1}
    try:
        return _of_ray(address) if name == "ray" else _of_dask(address, at_least)
    except (ImportError, ValueError, OSError) as error:
        extra = "ray" if name == "ray" else "cluster"
        how = "call ray.init" if name == "ray" else "make a dask.distributed.Client"
        raise ConfigError(
            f"parallel_backend is {name}, but there is no cluster: {_first_line(error)}. Install "
            f"recbole-unlearn[{extra}], and {how} or set parallel_scheduler to the address of the cluster"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0].rstrip(".")


def _of_dask(address: str | None, at_least: int) -> dict[str, Any]:
    from distributed import Client, default_client

    with Client(address, set_as_default=False) if address else nullcontext(default_client()) as client:
        workers = client.scheduler_info()["workers"].values()
        if len(workers) < at_least:
            raise ValueError(f"the scheduler {client.scheduler.address} has no workers.")
        if any(worker["nthreads"] != 1 for worker in workers):  # they share a generator and a folder
            raise ValueError(
                "a worker has several threads, whose jobs would disturb each other: start it with --nthreads 1."
            )
    return {"backend": "dask", **({"scheduler_host": address} if address else {})}


def _of_ray(address: str | None) -> dict[str, Any]:
    import ray
    from ray.util.joblib import register_ray

    if not ray.is_initialized():
        ray.init(address=address or "auto")
    register_ray()
    return {"backend": "ray"}


def worker_died(error: Exception) -> bool:
    """Return whether a process that worked for us died, here or on a cluster."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"
