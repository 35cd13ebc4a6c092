# %% [markdown]
# # SageMaker: the same study as a job
#
# On SageMaker a study runs on a machine that you never see. It may be taken away in the middle. In this lesson you
# run a job in folders of your own, with the files that SageMaker would give it. You kill it, let it go on, and ask
# its arm. And you find a bug that one apostrophe sets free.

# %% [markdown]
# ## Predict
#
# A job fails. Its program wrote a traceback of 990 characters into the file `failure`, and behind it a sentence of
# 120 characters. SageMaker shows the first 1,024 characters of that file as *FailureReason*. How many characters of
# the sentence does its user see?

# %% tags=["predict"]
from luthier.course.desk import ask, predict
from luthier.course.shown import Table, show

my_guess = None  # @param {type:"number"}
predict("sagemaker/shown", my_guess)
# A traceback of 990 characters, a sentence of 120, and SageMaker shows 1,024.

# %% [markdown]
# ## What a job is given
#
# A job has one folder, `/opt/ml`. What SageMaker puts there is the whole agreement:
#
# | folder | what it holds |
# |---|---|
# | `input/config/hyperparameters.json` | settings, each as a text |
# | `input/data/CHANNEL` | your data |
# | `checkpoints` | copied to S3 while the job runs, and given to the next machine |
# | `model` | kept when the job ends |
# | `output/failure` | why it failed |
#
# The environment variable `SAGEMAKER_BASE_DIR` names another folder. So you can run the job here. Its data are rows,
# and its model is a tiny one that has learned nothing: this lesson is about the job.

# %%
import csv
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

PLACES = ("the lake", "the library", "the old mill", "the station", "the garden")
ROWS = [
    (f"Ann: Lunch at {place} on day {day}?\nBen: Fine.", f"They have lunch at {place} on day {day}.")
    for day in range(1, 13)
    for place in PLACES
]


def tiny_model(folder: Path) -> None:
    """A decoder of two layers, with a tokenizer that knows the rows."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    bytes_of_texts = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<pad>", "</s>"], initial_alphabet=bytes_of_texts, show_progress=False
    )
    raw.train_from_iterator((text for row in ROWS for text in row), trainer)
    PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
    set_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=320, max_position_embeddings=256, pad_token_id=0, eos_token_id=1, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)


SETTINGS = {
    "data": "rows/notes.csv", "input": "dialogue", "target": "note", "instruction": "What's agreed?",
    "arms": "zero-shot,lora-r4+epochs=1+batch_size=8", "train": "16", "dev": "4", "test": "6",
    "precision": "fp32", "sagemaker_region": "eu-west-1",
}  # fmt: skip


def new_machine(base: Path) -> Path:
    """A job's folder as SageMaker makes it: settings and channels, and nothing else."""
    for name in ("input/config", "input/data/rows", "input/data/model", "checkpoints", "model", "output"):
        (base / name).mkdir(parents=True)
    (base / "input/config/hyperparameters.json").write_text(json.dumps(SETTINGS))
    with open(base / "input/data/rows/notes.csv", "w", newline="") as file:
        csv.writer(file).writerows([("dialogue", "note"), *ROWS])
    tiny_model(base / "input/data/model")
    return base


# %% [markdown]
# ## Run: a job, and one that is killed
#
# `luthier sagemaker-train` is what the container of a job runs. It is an ordinary study. Its folder lies among the
# checkpoints.

# %%
import os
import shutil
import signal
import subprocess
import sys
import time


def start(base: Path) -> subprocess.Popen:
    """The job's program, in a process of its own."""
    own = {"SAGEMAKER_BASE_DIR": str(base.resolve()), "LUTHIER_CACHE": str(base.resolve() / "cache")}
    command = [sys.executable, "-m", "luthier", "sagemaker-train"]
    return subprocess.Popen(
        command, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


home = Path("machine/ml")
job = start(new_machine(home))
said, _ = job.communicate()
print(said)
undisturbed = shutil.move(home, "undisturbed")
counts = [
    (name, sum(one.is_file() for one in (Path(undisturbed) / name).rglob("*"))) for name in ("checkpoints", "model")
]
show(Table(("kept", "files"), counts))

# %% [markdown]
# Now the machine is taken away as soon as one arm has answered. There is no warning that a program could rely on. In
# many containers a shell is the first process, and it hands no signal on. So luthier saves always, and waits for no
# signal.

# %%
job = start(new_machine(home))
while not (home / "checkpoints/study/arms/zero-shot/arm.json").exists() and job.poll() is None:
    time.sleep(0.02)
job.send_signal(signal.SIGKILL)
killed_with = job.wait()
left = sorted(path.name for path in (home / "checkpoints/study/arms").iterdir())
print(f"killed: exit code {killed_with}; arms begun: {', '.join(left)}")
shutil.copytree(home / "checkpoints", "s3")  # what S3 has of it
shutil.rmtree(home)

# %% [markdown]
# The next machine has a new disk. It gets the settings, the channels, and the checkpoints out of S3.

# %%
new_machine(home)
shutil.copytree("s3", home / "checkpoints", dirs_exist_ok=True)
job = start(home)
said, _ = job.communicate()
print(said)

# %% tags=["claim"]
# The killed job ended with the numbers of the one that nothing disturbed, byte for byte.
assert killed_with == -signal.SIGKILL and job.returncode == 0
arms = sorted(path.name for path in (home / "model/study/arms").iterdir())
for name in ("compare.json", *(f"arms/{arm}/{file}.jsonl" for arm in arms for file in ("answers", "scores"))):
    assert (home / "model/study" / name).read_bytes() == (Path(undisturbed) / "model/study" / name).read_bytes(), name

# %% [markdown]
# ## Ask the arm
#
# An endpoint gets the folder `model` and nothing else. SageMaker asks `/ping` whether the server lives, and sends
# each question to `/invocations`. Here both are asked without a network. The server needs the extra `serve`.

# %%
import importlib.util


def asked(folder: Path) -> list:
    """What an endpoint answers, asked in this process."""
    from starlette.testclient import TestClient

    from luthier.serving.app import make_app
    from luthier.serving.engine import Engine
    from luthier.serving.guard import Rules
    from luthier.serving.served import load_served

    served, engine = load_served([str(folder)]), Engine()
    engine.start()
    with TestClient(make_app(served, engine, Rules(any_host=True))) as client:
        replies = [client.get("/ping"), client.post("/invocations", json={"input": ROWS[0][0]})]
    engine.close(0)
    return replies


endpoint = Path(shutil.copytree(home / "model", "endpoint"))
statuses = [200, 200]
if all(importlib.util.find_spec(name) for name in ("fastapi", "httpx")):
    replies = asked(endpoint / "arm")
    statuses = [one.status_code for one in replies]
    print("/ping:", replies[0].json()["status"])
    print("/invocations:", repr(replies[1].json()["choices"][0]["text"]), replies[1].json()["luthier"]["measured"])

# %% tags=["claim"]
# Both addresses answered, from the model folder alone.
assert statuses == [200, 200]

# %% [markdown]
# ## Find the bug
#
# One way to start a job is a driver that writes each setting into a script of the shell, between apostrophes. Then
# the shell reads the script. Look at the setting `instruction` above, and say what the shell makes of it.


# %%
def exported(name: str, value: str) -> str:
    """A line as such a driver writes it."""
    return f"export SM_HP_{name.upper()}='{value}'"


DRIVER = "set -e; trap 'echo it failed > failure' ERR; source ./settings.env; echo luthier begins"


def begun(value: str) -> tuple[int, bool, bool]:
    """(exit code, whether the program began, whether there is a failure file) with this value of a setting."""
    Path("failure").unlink(missing_ok=True)
    Path("settings.env").write_text(exported("instruction", value) + "\n")
    done = subprocess.run(["bash", "-c", DRIVER], capture_output=True, text=True, check=False)
    return done.returncode, "luthier begins" in done.stdout, Path("failure").exists()


from luthier.launch.contract import carried

VALUES = ("What is agreed?", "What's agreed?", "Was heißt das – 日本?", json.loads(carried("What's agreed?")))
outcomes = [begun(value) for value in VALUES]
show(Table(("setting", "exit code", "began", "a failure file"), [(one, *how) for one, how in zip(VALUES, outcomes)]))

# %% tags=["claim"]
# Only the bare apostrophe ends the job. It ends before luthier begins, and nobody writes a sentence.
assert [began for _, began, _ in outcomes] == [True, False, True, True]
assert outcomes[1][0] != 0 and not outcomes[1][2]

# %% [markdown]
# Your program never ran, so no program of yours can tell what was wrong. `luthier sagemaker-job` therefore spells an
# apostrophe by its number, as in the last line, and the job reads it back. Long settings go into a `study.toml` in a
# channel.

# %% [markdown]
# ## What the user sees
#
# Turn the dial: how long is the traceback in front of the sentence?

# %% tags=["dials"]
traceback_characters = 990  # @param {type:"slider", min:0, max:2000, step:10}

# %%
from luthier.launch.contract import SHOWN_CHARACTERS, write_failure

sentence = "notes.csv, row 7: the field 'note' is empty; write the note, or take the row out."
write_failure(Path(), "x" * traceback_characters + sentence)
print("FailureReason ends with:", Path("output/failure").read_text()[-60:])
write_failure(Path(), sentence)
print("as luthier writes it:   ", Path("output/failure").read_text())

# %% tags=["claim"]
# SageMaker shows 1,024 characters. Behind a traceback of 990 characters 34 of a sentence of 120 are left.
assert SHOWN_CHARACTERS == 1_024
assert 1_024 - 990 == 34 < 120

# %% [markdown]
# A traceback pushes the sentence out of sight. So luthier writes the sentence alone into `failure`, and a traceback
# only into the log.

# %% [markdown]
# ## Fill a hole
#
# Every setting arrives as a text. Write the function that reads them. A value that is JSON becomes what the JSON
# says, such as a number. Any other value stays the text that it is. Names that begin with `sagemaker_` belong to the
# platform: leave them out.


# %% tags=["hole"]
def read_settings(written: dict[str, str]) -> dict:
    """Settings by name, each as what it means."""
    ### BEGIN SOLUTION
    found = {}
    for name, text in written.items():
        if name.startswith("sagemaker_"):
            continue
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found
    ### END SOLUTION


# %% tags=["test"]
assert read_settings({"train": "12"}) == {"train": 12}, "read_settings: '12' is JSON and becomes a number"
assert read_settings({"instruction": "What's new?"}) == {"instruction": "What's new?"}, (
    "read_settings: a text that is no JSON stays as it is"
)
assert read_settings({"sagemaker_region": "eu"}) == {}, "read_settings: names of the platform are left out"
### BEGIN HIDDEN TESTS
assert read_settings({"my_sagemaker_note": "x"}) == {"my_sagemaker_note": "x"}, (
    "read_settings: only a name that begins with sagemaker_ is the platform's"
)
assert read_settings({"panel": "true", "task": '"notes"'}) == {"panel": True, "task": "notes"}, (
    "read_settings: true and quoted texts are JSON too"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Your questions

# %% tags=["question"]
my_answer = ""  # @param {type:"string"}
ask("sagemaker/shown", my_answer)

# %% tags=["question"]
my_other_answer = ""  # @param {type:"string"}
ask("sagemaker/repeated", my_other_answer)

# %% tags=["question"]
my_choice = ""  # @param {type:"string"}
ask("sagemaker/warning", my_choice)

# %% [markdown]
# ## What this does not show
#
# No machine of Amazon was asked. Here S3 is a folder that is copied at one moment. A real copy runs while the job
# writes, so it may be a little older. Rights, prices, networks and the image are not shown either:
# `docs/sagemaker.md` says what you need for a real job.
