"""Reads checkpoints: this package's with torch's safe loader, RecBole's pickles only if the caller trusts them."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from recbole_unlearn.exceptions import ConfigError, UntrustedFileError


def read_checkpoint(path: str | os.PathLike[str], device: Any, trusted: bool) -> dict[str, Any]:
    """Read a checkpoint; one that only a pickle can hold is refused unless it is trusted."""
    try:
        with warnings.catch_warnings():  # of the pickle's protocol, before it is refused by its name below
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            checkpoint = torch.load(path, map_location=device, weights_only=not trusted)
    except FileNotFoundError as error:
        raise ConfigError(f"checkpoint {str(path)!r} does not exist") from error
    except (AttributeError, ImportError) as error:
        raise ConfigError(
            f"checkpoint {str(path)!r} cannot be read: {error}; a pickle names the classes of its script, so load "
            f"it in a script that defines them in the same module"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ConfigError(f"checkpoint {str(path)!r} cannot be read: {error}") from error
    except pickle.UnpicklingError as error:
        if trusted:
            raise ConfigError(f"checkpoint {str(path)!r} cannot be read: {error}") from error
        raise UntrustedFileError(
            f"checkpoint {str(path)!r} is a pickle, as RecBole writes them; a pickle runs code when it is loaded. "
            f"If you know who wrote it, set trust_checkpoint=True"
        ) from error
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("state_dict"), Mapping):
        raise ConfigError(
            f"checkpoint {str(path)!r} holds no `state_dict` as RecBole's and ours do, but {type(checkpoint).__name__}; "
            f"give a file that Unlearner.save or RecBole's Trainer wrote"
        )
    return dict(checkpoint)
