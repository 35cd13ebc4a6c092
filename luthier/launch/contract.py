"""What SageMaker gives to a training job, and where it looks for what the job made.

    BASE/input/config/hyperparameters.json, resourceconfig.json     settings as texts; the machines of the job
    BASE/input/data/CHANNEL/                                        what was put into the job
    BASE/checkpoints/                                               kept while the job runs, and given to the next one
    BASE/model/, BASE/output/data/                                  kept when the job ends
    BASE/output/failure                                             why it failed; its first 1,024 characters are shown

BASE is /opt/ml, or SAGEMAKER_BASE_DIR. Source: "How Amazon SageMaker Processes Training Input/Output", Amazon SageMaker
Developer Guide. The toolkit `sagemaker-training` and the drivers of the SDK's third version start a script in the same
folders, with settings in SM_HPS and on the command line. They name SM_HP_* differently, so those are not read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import FolderError, SettingsError
from luthier.files import building, possible, read_json, write_json

BASE, BASE_VARIABLE, SETTINGS_VARIABLE = "/opt/ml", "SAGEMAKER_BASE_DIR", "SM_HPS"
SHOWN_CHARACTERS = 1024  # of the file `failure`, by DescribeTrainingJob
CONFIG, HYPERPARAMETERS = "input/config", "hyperparameters.json"
OF_THE_PLATFORM = ("sagemaker_", "_tuning_")  # how settings begin that are not ours, whatever comes after


@dataclass(frozen=True)
class Job:
    """A training job: its folder, its settings by name, and which of its machines this is."""

    base: Path
    settings: Mapping[str, Any]
    hosts: tuple[str, ...] = ()
    host: str | None = None

    @property
    def data(self) -> Path:
        return self.base / "input" / "data"

    @property
    def checkpoints(self) -> Path:
        return self.base / "checkpoints"

    @property
    def model(self) -> Path:
        return self.base / "model"

    @property
    def output(self) -> Path:
        return self.base / "output" / "data"

    @property
    def works_here(self) -> bool:
        """A study is the work of one machine: of several the first by name, which need not be algo-1."""
        return self.host is None or self.host == min(self.hosts, default=self.host)

    @property
    def channels(self) -> list[Path]:
        """The folders of the job's channels."""
        return sorted(path for path in self.data.iterdir() if path.is_dir()) if self.data.is_dir() else []

    @classmethod
    def read(cls, environment: Mapping[str, str], words: Sequence[str] = ()) -> Job:
        """The job in whose folders this process runs. Raises LuthierError for settings or files that are none."""
        base = base_of(environment)
        config = base / CONFIG
        resources = _table(config / "resourceconfig.json") or {}
        hosts, host = resources.get("hosts") or [], resources.get("current_host")
        if not isinstance(hosts, list) or not all(isinstance(one, str) for one in [*hosts, host or ""]):
            raise FolderError(f"{config / 'resourceconfig.json'}: its hosts are no names; write a list of texts")
        return cls(base, _settings(config / HYPERPARAMETERS, environment, words), tuple(hosts), host)


def base_of(environment: Mapping[str, str]) -> Path:
    """The folder of the job. Raises FolderError where there is none."""
    base = possible(environment.get(BASE_VARIABLE) or BASE)
    if not base.is_dir():
        raise FolderError(f"{base}: no such folder, so this is no job of SageMaker; name one with {BASE_VARIABLE}")
    return base.resolve()


def new_job(base: Path, channels: Mapping[str, Path], settings: Mapping[str, str]) -> None:
    """Writes the folder of a job as SageMaker makes it: a copy of each channel's folder, and settings as texts.

    Raises FolderError where there is something already.
    """
    base = possible(base)
    refuse_used(base)
    with building(base) as part:
        job = Job(part, settings)
        for name, folder in channels.items():
            shutil.copytree(folder, job.data / name)
        for path in (job.checkpoints, job.model, job.output):
            path.mkdir(parents=True)
        write_json(part / CONFIG / HYPERPARAMETERS, dict(settings))


def refuse_used(folder: Path) -> None:
    """Raises FolderError for a folder that holds something, or a file of this name."""
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise FolderError(f"{folder}: there is something already; choose a new folder")


def write_failure(base: Path, sentence: str) -> None:
    """The sentence that the user sees as FailureReason. It is cut where SageMaker would cut it.

    The file is not hidden and renamed: a full disk is what it may have to tell of.
    """
    (base / "output").mkdir(parents=True, exist_ok=True)
    (base / "output" / "failure").write_text(sentence[:SHOWN_CHARACTERS], encoding="utf-8", errors="backslashreplace")


def forget_failure(base: Path) -> None:
    """Takes away what an earlier try said, since the toolkit would keep it."""
    (base / "output" / "failure").unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------- settings


def _settings(path: Path, environment: Mapping[str, str], words: Sequence[str]) -> dict[str, Any]:
    """Settings by name. Raises SettingsError where two places contradict each other.

    hyperparameters.json is what the user wrote. SM_HPS and the command line are copies of it, which lose something: the
    toolkit types a list as Python would. So they count only where a name is missing in the file.
    """
    places: list[tuple[str, Mapping[str, Any]]] = [(HYPERPARAMETERS, _table(path) or {})]
    if given := environment.get(SETTINGS_VARIABLE):
        places.append((SETTINGS_VARIABLE, _json_table(given, SETTINGS_VARIABLE)))
    places.append(("the command line", _typed(words)))
    found: dict[str, tuple[str, Any]] = {}
    for place, table in places:
        for key, value in table.items():
            if key.startswith(OF_THE_PLATFORM):
                continue
            name = key.replace("-", "_")
            if name in found and found[name][0] != place:
                _refuse_other(name, *found[name], place, value)
            elif name in found:
                raise SettingsError(f"{place}: '{key}' stands there twice, once with hyphens; give it once")
            else:
                found[name] = place, value
    return {name: value for name, (_, value) in found.items()}


def _refuse_other(name: str, first: str, value: Any, place: str, other: Any) -> None:
    """Raises SettingsError where a copy of a setting is none."""
    if _spellings(value).isdisjoint(_spellings(other)):
        raise SettingsError(f"{name}: {place} says {other!r}, and {first} says {value!r}; give it once")


def _spellings(value: Any) -> set[str]:
    """How a setting is spelled in the places that copy it."""
    plain = decoded(value)
    spelled = {str(value), str(plain), json.dumps(plain), json.dumps(plain, separators=(",", ":"))}
    if isinstance(plain, dict):
        spelled.add(",".join(f"{key}={one}" for key, one in sorted(plain.items())))
    return spelled | {""} if plain is None else spelled


def decoded(value: Any) -> Any:
    """The value of a setting: what its JSON says, and a text where it is no JSON.

    The second version of the SDK writes every value as JSON, also a text. `carried` writes a text as JSON twice. So
    quotes around a whole value are always those of JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        plain = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return decoded(plain) if isinstance(plain, str) and plain[:1] == '"' else plain


def carried(text: str) -> str:
    """The text as a setting that no shell stumbles over: without an apostrophe, until `decoded` reads it.

    The drivers of the SDK's third version take one layer of JSON away, put what is left between apostrophes, and let a
    shell read it. So there are two layers, and an apostrophe is spelled by its number.
    """
    if "'" not in text and text[:1] != '"':
        return text
    return json.dumps(json.dumps(text).replace("'", "\\u0027"))


def _typed(words: Sequence[str]) -> dict[str, str]:
    """`--name value` and `--name=value`, as both toolkits type settings; `-n value` for a name of one letter."""
    found: dict[str, str] = {}
    left = list(words)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if not name.startswith("-") or not name.strip("-"):
            raise SettingsError(f"the command line: '{name}' is no setting; write --name value")
        if not equals:
            if not left:
                raise SettingsError(f"the command line: {name} has no value; write --name value")
            value = left.pop(0)
        found[name.lstrip("-")] = value
    return found


def _table(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no file."""
    if not path.exists():
        return None
    return _as_table(read_json(path), str(path))


def _json_table(text: str, where: str) -> dict[str, Any]:
    try:
        return _as_table(json.loads(text), where)
    except (ValueError, RecursionError):
        raise SettingsError(f"{where}: is no JSON; give an object of names and values") from None


def _as_table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingsError(f"{where}: is no JSON object; give names and values")
    return value
