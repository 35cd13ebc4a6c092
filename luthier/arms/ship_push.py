"""Pushing a shipped folder to the Hugging Face hub: private unless asked otherwise, and never with a user's examples
unless they are asked for by name."""

from __future__ import annotations

from pathlib import Path

from luthier.arms.ship_verify import verify
from luthier.errors import ModelError, SettingsError
from luthier.files import possible
from luthier.results.evidence import Evidence


def push(folder: str | Path, name: str, *, public: bool = False, examples: bool = False) -> str:
    """Uploads a folder that `ship` made, after it was verified, as the hub's model `name`. Returns its address.

    public: others can read it; examples: the folder may hold test examples and answers. Raises SettingsError for a
    folder with examples that were not asked for, ModelError where the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    place = possible(folder)
    if Evidence.is_in(place) and Evidence.read(place).with_examples and not examples:
        raise SettingsError(
            f"{place}: holds test examples and answers; allow that with --examples, or ship it again with --no-examples"
        )
    verify(place)
    hub = HfApi()
    try:
        where = hub.create_repo(name, private=not public, exist_ok=True, repo_type="model")
        if not public and not hub.repo_info(where.repo_id).private:
            raise SettingsError(f"{name}: is a public model already; say --public, or name a new one")
        hub.upload_folder(repo_id=where.repo_id, folder_path=place, commit_message="luthier push")
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{name}: the hub refuses ({reason}); log in with `hf auth login`, and check the name"
        ) from None
    return str(where)
