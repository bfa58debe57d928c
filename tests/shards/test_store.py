import pytest
import torch

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.shards.store import ShardStore, TrainedShard

SHARD = TrainedShard("a" * 64, {"weight": torch.arange(3.0)}, 1.5)


def test_a_shard_comes_back(tmp_path):
    store = ShardStore(tmp_path / "shards")
    assert store.load(SHARD.digest) is None
    store.save(SHARD)
    found = store.load(SHARD.digest)
    assert (found.digest, found.seconds) == (SHARD.digest, 1.5)
    assert torch.equal(found.state["weight"], SHARD.state["weight"])
    store.discard([SHARD.digest, "b" * 64])
    assert store.load(SHARD.digest) is None
    assert list((tmp_path / "shards").iterdir()) == []


def test_without_a_folder_nothing_is_kept(tmp_path):
    store = ShardStore(None)
    store.save(SHARD)
    assert store.load(SHARD.digest) is None
    assert list(tmp_path.iterdir()) == []


def test_another_shard_under_the_name_is_refused(tmp_path):
    store = ShardStore(tmp_path)
    store.save(SHARD)
    (path,) = tmp_path.iterdir()
    path.rename(path.with_name(f"shard-{'c' * 32}.pth"))
    with pytest.raises(ConfigError, match="trained from aaaaaaaaaaaa, not from cccccccccccc"):
        store.load("c" * 64)


def test_a_damaged_file_is_named(tmp_path):
    store = ShardStore(tmp_path)
    store.save(SHARD)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigError, match=f"{path.name}.*cannot be read.*delete it"):
        store.load(SHARD.digest)
