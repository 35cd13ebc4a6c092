"""Questions of the lesson on SageMaker: what is shown of a failure, what a kill costs."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution

SHOWN = 1024  # characters of the file `failure`


def _failure(dice: Random) -> dict[str, Any]:
    return {"traceback": dice.randrange(400, 1000), "sentence": dice.randrange(30, 600)}


def _kill(dice: Random) -> dict[str, Any]:
    return {"every": dice.randrange(20, 400), "at": dice.randrange(500, 9000)}


QUESTIONS = (
    Question(
        row="sagemaker",
        name="shown",
        text="A job fails. The file `failure` holds a traceback of {traceback} characters, and behind it a sentence of "
        "{sentence} characters. SageMaker shows the first 1,024 characters of the file. How many characters of the "
        "sentence does the user see?",
        draw=_failure,
        answer=lambda traceback, sentence: min(sentence, SHOWN - traceback),
        again=lambda traceback, sentence: ("t" * traceback + "s" * sentence)[:SHOWN].count("s"),
        wrong={
            "You showed the whole sentence. What stands behind the first 1,024 characters is cut off.": (
                lambda sentence: sentence
            ),
            "You put the sentence in front. That is what luthier does, but not this job.": (
                lambda sentence: SHOWN - sentence
            ),
            "You took 1,000 characters for 1,024.": lambda traceback: 1000 - traceback,
        },
        why="1,024 less the {traceback} in front leave room for {answer} characters.",
        unit="characters",
        tolerance=0,
    ),
    Question(
        row="sagemaker",
        name="repeated",
        text="A training saves itself after every {every} steps. Its machine is taken away without a warning when "
        "{at:,} steps are done. How many of them must the next machine do again?",
        draw=_kill,
        answer=lambda every, at: at % every,
        again=lambda every, at: at - max(saved for saved in range(0, at + 1, every)),
        wrong={
            "You thought that SIGTERM saves the last steps. Nobody hears it: what is not saved yet is lost.": (
                lambda: 0
            ),
            "You began again from nothing. The checkpoints are there.": lambda at: at,
            "You counted the steps that were still to come before the next save.": (
                lambda every, at: every - at % every
            ),
            "You counted the saves.": lambda every, at: at // every,
        },
        why="The last save was {answer} steps before the end.",
        unit="steps",
        tolerance=0,
    ),
    Choice(
        row="sagemaker",
        name="warning",
        text="SageMaker takes a spot machine away. What makes sure that the work is not lost?",
        right="the work was saved among the checkpoints all along",
        wrong={
            "the program saves its work when SIGTERM comes": "A shell in front of the program hands no signal on.",
            "SageMaker keeps the disk of the machine": "The next machine has a new disk. It gets what lay in S3.",
            "the folder `model` is kept": "It is kept when a job ends. A machine that is taken away ends nothing.",
        },
        why="Only what is saved before the machine goes can be given to the next one.",
    ),
)

WRONG_SOLUTIONS = {
    "read_settings": (
        WrongSolution(
            "def read_settings(written):\n"
            "    kept = {name: text for name, text in written.items() if not name.startswith('sagemaker_')}\n"
            "    return {name: json.loads(text) for name, text in kept.items()}",
            says="raises JSONDecodeError",
        ),
        WrongSolution(
            "def read_settings(written):\n"
            "    found = {}\n"
            "    for name, text in written.items():\n"
            "        try:\n"
            "            found[name] = json.loads(text)\n"
            "        except ValueError:\n"
            "            found[name] = text\n"
            "    return found",
            says="names of the platform",
        ),
        WrongSolution(
            "def read_settings(written):\n"
            "    found = {}\n"
            "    for name, text in written.items():\n"
            "        if 'sagemaker_' in name:\n"
            "            continue\n"
            "        try:\n"
            "            found[name] = json.loads(text)\n"
            "        except ValueError:\n"
            "            found[name] = text\n"
            "    return found",
            says="begins with sagemaker_",
        ),
    )
}
