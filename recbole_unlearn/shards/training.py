"""Trains shards, one after the other or in parallel with joblib; both give the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import joblib
import torch
from recbole.utils import init_seed

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.exceptions import ConfigError, InputError, ShardError
from recbole_unlearn.model.weights import model_weights
from recbole_unlearn.settings.check import our_keys
from recbole_unlearn.settings.revision import class_digest, source_digest
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
    """

    number: int
    config: Any
    dataset: WithdrawalDataset
    trainer: type
    seed: int

    def digest(self) -> str:
        """Return what the shard is trained from, as one digest."""
        settings = {
            name: str(value)
            for name, value in self.config.final_config_dict.items()
            if name not in CIRCUMSTANCES and name not in our_keys()
        }
        settings |= {"model class": class_digest(self.config.model_class), "trainer": class_digest(self.trainer)}
        settings |= {"shard seed": str(self.seed), "torch": torch.__version__, "source": source_digest()}
        part = self.dataset.build()[0]
        rows = {name: values.numpy() for name, values in part.inter_feat.interaction.items()}
        tokens = {name: part.field2id_token[name].astype(str) for name in (part.uid_field, part.iid_field)}
        return digest_of(settings, {**rows, **{f"{name} tokens": values for name, values in tokens.items()}})


def train_shards(jobs: Sequence[ShardJob], store: ShardStore, alone: bool) -> dict[int, TrainedShard]:
    """Train the shards that the store does not have yet, and return all of them by number.

    Args:
        jobs: The shards.
        store: Has finished shards, and gets each new one as soon as it is finished.
        alone: Whether to train one after the other in this process, so that each can be timed; else as
            ``parallel_backend`` and ``parallel_jobs`` of the config say.

    Raises:
        ShardError: A worker died, and died again when its shards were retried.
    """
    digests = {job.number: job.digest() for job in jobs}
    stored = {number: store.load(digest) for number, digest in digests.items()}
    done = {number: shard for number, shard in stored.items() if shard is not None}
    for attempt in range(_ATTEMPTS):
        waiting = [job for job in jobs if job.number not in done]
        try:
            for number, state, seconds in side_by_side(train_shard, waiting, jobs[0].config, alone):
                done[number] = TrainedShard(digests[number], state, seconds)
                store.save(done[number])
            break
        except Exception as error:
            if not _worker_died(error):
                raise
            if attempt == _ATTEMPTS - 1:
                left = sorted(set(digests) - set(done))
                raise ShardError(
                    f"a worker died while it trained shards {left}, and died again when they were retried ({error!r}); "
                    f"if memory is short, lower parallel_jobs. Finished shards are kept: call again to go on with the rest"
                ) from error
    return done


def train_shard(job: ShardJob) -> tuple[int, dict[str, torch.Tensor], float]:
    """Train one sub-model from scratch on one thread; return its number, parameters and seconds."""
    config = job.config
    with one_thread():
        start = time.perf_counter()
        try:
            model = _trained(job)
        except InputError:
            raise
        except Exception as error:  # whatever RecBole or somebody's model raises on few rows
            raise ConfigError(
                f"{config['model']} cannot be trained on shard {job.number} with its {len(job.dataset.build()[0])} rows: "
                f"{type(error).__name__}: {error}; lower shard_count"
            ) from error
        state = {name: value.detach().cpu().clone() for name, value in model_weights(model).items()}
        return job.number, state, time.perf_counter() - start


def _trained(job: ShardJob) -> Any:
    """Return the sub-model of a shard; one without rows stays as it is drawn."""
    config = job.config
    init_seed(config["seed"], config["reproducibility"])
    rows = job.dataset.of_models()
    model = config.model_class(config, rows).to(config["device"])
    if len(rows):
        train_data, _, _ = data_preparation(config, job.dataset)
        init_seed(job.seed, config["reproducibility"])
        trainer = job.trainer(config, model)
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
    """Yield what ``work`` returns for each job, as soon as it is finished, in any order.

    Args:
        work: A function of a module, which workers find by its name.
        jobs: What it is called with.
        config: Has ``parallel_backend``, ``parallel_jobs`` and ``parallel_scheduler``.
        alone: Whether to work one after the other in this process.

    Raises:
        ConfigError: ``parallel_backend`` is dask, and there is no cluster.
    """
    if alone or len(jobs) <= 1 or config["parallel_jobs"] == 1:
        yield from map(work, jobs)
        return
    try:
        with joblib.parallel_config(**_backend(config)):
            parallel = joblib.Parallel(n_jobs=config["parallel_jobs"], return_as="generator_unordered", batch_size=1)
            results = parallel(joblib.delayed(work)(job) for job in jobs)
            yield from results
    except (ImportError, ValueError) as error:
        if "dask" not in str(error).lower() and "distributed" not in str(error).lower():
            raise
        raise ConfigError(
            f"parallel_backend is dask, but there is no cluster: {error} Install recbole-unlearn[cluster], and make a "
            f"dask.distributed.Client or set parallel_scheduler to the scheduler's address"
        ) from error


def _backend(config: Any) -> dict[str, Any]:
    if config["parallel_backend"] == "dask":
        scheduler = config["parallel_scheduler"]
        return {"backend": "dask", **({"scheduler_host": scheduler} if scheduler else {})}
    return {"backend": "loky", "inner_max_num_threads": 1}


def _worker_died(error: Exception) -> bool:
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"
