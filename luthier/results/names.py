"""How folders are named: an arm's folder, a study's, and a task's study among several; nothing else makes such a name.

    arm_folder(study, "lora@int4")     -> study/arms/lora@int4
    run_folder(study, "lora/seed-1")   -> study/arms/lora/seed-1
    study_folder("tickets", ...)       -> studies/tickets-MODEL-MARK

A name comes from a file or from the command line, so it is refused, before anything is made, where it is not safe as
the name of one folder: it could lie outside, be hidden, or be shared by two where letters have no case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from luthier.errors import SettingsError
from luthier.files import refuse_link

DOMAIN = "domain"  # the folder of further pretrained weights: a study's, and in an arm's those that it begins with
MOST_BYTES = 200  # of a name; file systems allow 255, and files in the making have longer names
ALLOWED = f"a name has 1 to {MOST_BYTES} bytes, no / or \\, no control character, no dot or blank in front"
_SEED = re.compile(r"seed-[1-9][0-9]*")
_RESERVED = re.compile(r"seed-[0-9]+", re.IGNORECASE)
# Control characters, halves of surrogate pairs, line and paragraph separators; then what turns the direction of text.
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def slug(what: str, name: str) -> str:
    """`name`, where it is safe as the name of one folder. `what` is what it names: 'arm' or 'task'.

    Raises SettingsError.
    """
    if (wrong := _wrong(name)) is None:
        return name
    shown = repr(name) if len(name) <= 60 else repr(name[:60]) + "..."
    raise SettingsError(f"{what} {shown}: its name {wrong}, so it cannot name a folder; {ALLOWED}")


def _wrong(name: str) -> str | None:
    """What keeps a name from being a folder's; None: nothing."""
    if not name:
        return "is empty"
    if any(sign in _TURNING or unicodedata.category(sign) in _CONTROL for sign in name):
        return "holds a control character"
    if "/" in name or "\\" in name:
        return "holds a / or \\"
    if name.startswith("."):
        return "begins with a dot"
    if name != name.strip():
        return "begins or ends with a blank"
    if len(name.encode()) > MOST_BYTES:
        return f"has {len(name.encode())} bytes"
    return None


def arm_names(names: Iterable[str]) -> None:
    """Refuses, with SettingsError, names that cannot be arms of one study: unsafe, reserved, or alike without case."""
    seen: dict[str, str] = {}
    for name in names:
        _arm(name)
        for key in keys(name):
            if (other := seen.setdefault(key, name)) != name:
                raise SettingsError(
                    f"arm '{name}': the arm '{other}' would share its folder where letters have no case; "
                    "give one of them another name"
                )


def keys(name: str) -> set[str]:
    """What file systems without case may compare a name by: two names that share one may share a folder."""
    return {name.casefold(), unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())}


def _arm(name: str) -> str:
    if _RESERVED.fullmatch(name):
        raise SettingsError(f"arm '{name}': this name is kept for an arm's further seeds; give it another name")
    return slug("arm", name)


def arm_folder(study: Path, name: str) -> Path:
    """The folder of an arm, directly inside arms/. Raises SettingsError for a name that is none, FolderError for a link
    in its place."""
    return _no_links(study / "arms", study / "arms" / _arm(name))


def run_folder(study: Path, name: str) -> Path:
    """The folder of an arm, or of one of its further seeds, which is called NAME/seed-K."""
    arm, slash, seed = name.partition("/")
    folder = arm_folder(study, arm)
    if slash and not _SEED.fullmatch(seed):
        slug("arm", name)  # refuses what holds a slash and is no seed
    return _no_links(folder / seed) if slash else folder


def study_folder(task: str, model: str, mark: str) -> Path:
    """studies/TASK-MODEL-MARK. Raises SettingsError for a task's name that is none."""
    return Path("studies") / slug("task", f"{slug('task', task)}-{Path(model).name}-{mark}")


def member_folder(task: str) -> str:
    """The name of a task's folder among several tasks: what is no letter, digit, _, . or - becomes a -."""
    return slug("task", re.sub(r"[^\w.-]+", "-", task).strip(".-") or "task")


def _no_links(*folders: Path) -> Path:
    for folder in folders:
        refuse_link(folder)
    return folders[-1]
