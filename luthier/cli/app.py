"""The command line: one verb a step of the line. A verb parses, calls one function of the library, prints one record.

Results go to standard output, everything else to standard error. exits.py has the exit codes, screen.py the tables.

Only typer is imported here; `luthier.NAME` imports what a verb needs when it runs, so `--help` is quick.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import luthier
from luthier import machine
from luthier.cli import exits, screen

app = typer.Typer(cls=exits.Verbs, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """Runs the command line and exits."""
    exits.prepare()
    app(prog_name="luthier")


def _version(asked: bool) -> None:
    if asked:
        print(f"luthier {luthier.__version__}")
        raise typer.Exit


@app.callback()
def _luthier(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fit a language model to a task and prove that it fits: prompting, fine-tuning and their comparison."""


# ------------------------------------------------------------------------------------- arguments that verbs share

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="A task folder, or one that ships, such as dialogues.")]
Answers = Annotated[list[str], typer.Option("--answer", help="A column of answers; repeat for several.")]
Reference = Annotated[str, typer.Option(help="The column with the reference answer.")]
Cluster = Annotated[str | None, typer.Option(help="Rows equal in this column are one unit; none: each row is one.")]
References = Annotated[str, typer.Option(help="ROUGE against several references: their mean, or their max.")]
Input = Annotated[str | None, typer.Option(help="The column with the input: for the share that is copied from it.")]
RowId = Annotated[str | None, typer.Option("--id", help="A column of unique names; else rows are numbered.")]
Rows = Annotated[Path, typer.Argument(metavar="FILE", help="A csv, tsv, jsonl or parquet file.")]


# -------------------------------------------------------------------------------------------------------- tasks


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The new task folder.")],
    source: Annotated[
        Path, typer.Option("--from", help="Your csv, tsv, jsonl or parquet file, copied unchanged; or hub:owner/name.")
    ],
    input: Annotated[str, typer.Option(help="The column with the text that the model is given.")],
    target: Annotated[str | None, typer.Option(help="The column with the reference answer.")] = None,
    labels: Annotated[str | None, typer.Option(help="Or the column with the label: a classification.")] = None,
    dev: Annotated[Path | None, typer.Option(help="A file with the dev rows.")] = None,
    test: Annotated[Path | None, typer.Option(help="A file with the test rows.")] = None,
    split_col: Annotated[str | None, typer.Option(help="A column that says train, dev or test.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Rows equal in this column stay in one split.")] = None,
    id: RowId = None,
    meta: Annotated[list[str] | None, typer.Option(help="A further column to keep; repeat for several.")] = None,
    instruction: Annotated[str | None, typer.Option(help="The instruction of the default template.")] = None,
    name: Annotated[str | None, typer.Option(help="What reports call the task; else the folder's name.")] = None,
    metric: Annotated[str | None, typer.Option(help="The metric that decides; else rouge1, or accuracy.")] = None,
    margin: Annotated[float | None, typer.Option(help="Differences below it do not matter, on 0 to 1.")] = None,
    dev_share: Annotated[float, typer.Option(help="Share of the rows drawn as dev, where none is given.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Share of the rows drawn as test, where none is given.")] = 0.2,
    seed: Annotated[int, typer.Option(help="The seed that draws splits and shots.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a task folder from your own file. Splits that you do not give are drawn by a seed, whole clusters
    and equal inputs together.

    \b
    Example:
      luthier init notes --from visits.csv --input dialogue --target note
    """
    task = luthier.init_task(
        folder, source, input=input, target=target, labels=labels, dev=dev, test=test, split_column=split_col,
        cluster=cluster, id=id, meta=meta, instruction=instruction, name=name, metric=metric, margin=margin,
        dev_share=dev_share, test_share=test_share, seed=seed,
    )  # fmt: skip
    if as_json:
        return screen.print_json(task.summary())
    screen.print_task(task.summary())
    screen.print_lines([f"Look it over: luthier check {shlex.quote(str(folder))}"])


@app.command()
def check(
    task: TaskName,
    model: Annotated[str | None, typer.Option(help="Count tokens with this model: a name, hub id or folder.")] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a task. Empty and repeated rows, leaks between splits and, with a model, what would be cut
    or could not be rendered. Exit code 1 when there are errors.

    \b
    Example:
      luthier check dialogues --model smollm2-135m
    """
    read = luthier.load_task(task)
    found = luthier.check_task(read, luthier.load(model, labels=read.labels) if model else None)
    errors = sum(finding.level == "error" for finding in found)
    if as_json:
        screen.print_json({"task": task, "errors": errors, "findings": [vars(finding) for finding in found]})
    else:
        screen.print_findings(found)
    if errors:
        mend = (
            f"{task}: {errors} error{'s' * (errors > 1)} to mend before a study; each is named above with file and row"
        )
        sys.stdout.flush()
        raise exits.exit_with(1, mend)


@app.command()
def show(
    task: TaskName,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "dev",
    id: Annotated[str | None, typer.Option("--id", help="The example; by default the split's first.")] = None,
    arm: Annotated[str, typer.Option(help="An arm's short form, such as few-shot-2:question.")] = "zero-shot",
    model: Annotated[str, typer.Option(help="A short name, a hub id, or a folder.")] = "smollm2-135m",
) -> None:
    """Show the exact prompt of an arm, token by token. Supervised tokens, which a trained arm learns to say, are
    painted; where there are no colours they stand in ⟦ ⟧.

    \b
    Example:
      luthier show dialogues --arm lora --split train
    """
    found = luthier.load_task(task)
    loaded = luthier.load(luthier.model_of(arm) or model, labels=found.labels)
    prompt, example = luthier.prompt_of(found, arm, loaded, split, id)
    screen.print_painted(luthier.paint(prompt, loaded.tokenizer))
    screen.print_counts(example.id, prompt)


# ------------------------------------------------------------------------------------------------------ studies


@app.command()
def study(
    task: Annotated[str | None, typer.Argument(help="A task folder, or one that ships; may stand in --config.")] = None,
    model: Annotated[str | None, typer.Option(help="A short name, a hub id, or a folder.")] = None,
    arms: Annotated[str | None, typer.Option(help="Short forms with commas between, or 'all'.")] = None,
    defaults: Annotated[str | None, typer.Option(help="Settings of all arms that have them: epochs=1,rank=8.")] = None,
    train: Annotated[int | None, typer.Option(help="Training examples: a seeded, nested sample.")] = None,
    dev: Annotated[int | None, typer.Option(help="Dev examples, on which settings are chosen.")] = None,
    test: Annotated[int | None, typer.Option(help="Test examples, which decide once.")] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; else one in studies/.")] = None,
    config: Annotated[Path | None, typer.Option(help="A study.toml; options go before what it says.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of samples, training and sampling.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Train each trained arm under this many; 3 for a recipe.")] = None,
    tune: Annotated[int | None, typer.Option(help="Configurations tried on dev for each trained arm.")] = None,
    likelihood: Annotated[bool | None, typer.Option(help="Bits per character of the references.")] = None,
    memory: Annotated[float | None, typer.Option(help="GB that the process may hold at most.")] = None,
) -> None:
    """Try every arm on the same examples and decide. This is the main job; stopped and started again with the same
    arguments it goes on, and ends with the same numbers.

    \b
    Example:
      luthier study dialogues --arms zero-shot,few-shot-2,lora --train 100
    """
    machine.keep_freed_memory()
    folder = luthier.study(
        task, model=model, arms=arms, defaults=defaults, train=train, dev=dev, test=test, out=out, config=config,
        seed=seed, precision=precision, seeds=seeds, tune=tune, likelihood=likelihood, memory=memory,
        command=exits.command(),
    )  # fmt: skip
    from luthier.results.comparison import Comparison

    screen.print_lines([Comparison.read(folder).ship.sentence, f"Report: {folder / 'report.html'}"])


@app.command()
def multitask(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK", help="Two tasks to train on, or more.")],
    held_out: Annotated[list[str] | None, typer.Option(help="A task never trained on; repeat for several.")] = None,
    arms: Annotated[str | None, typer.Option(help="Short forms; each trained one gets a multi-task twin.")] = None,
    defaults: Annotated[str | None, typer.Option(help="Settings of all arms that have them: rank=8.")] = None,
    mixture: Annotated[str | None, typer.Option(help="proportional, equal or temperature.")] = None,
    temperature: Annotated[float | None, typer.Option(help="T of a temperature mixture; 1 is proportional.")] = None,
    cap: Annotated[int | None, typer.Option(help="A task counts as at most this many examples.")] = None,
    templates: Annotated[int | None, typer.Option(help="Templates of each task to train under; else all.")] = None,
    effort: Annotated[
        str | None, typer.Option(help="together: as many examples as all single-task arms; or one.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A short name, a hub id, or a folder.")] = None,
    train: Annotated[int | None, typer.Option(help="Training examples of a task at most.")] = None,
    dev: Annotated[int | None, typer.Option(help="Dev examples of a task at most.")] = None,
    test: Annotated[int | None, typer.Option(help="Test examples of a task at most.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder; else one in studies/.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of samples, mixture, training and sampling.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    memory: Annotated[float | None, typer.Option(help="GB that the process may hold at most.")] = None,
) -> None:
    """Train one model on several tasks, and set it against one model a task. A study for each task, held-out ones too,
    and one table over them; stopped and started again with the same arguments it goes on.

    \b
    Example:
      luthier multitask dialogues tasks/notes --held-out tasks/titles --mixture equal
    """
    machine.keep_freed_memory()
    folder = luthier.multitask(
        tasks, held_out=held_out or (), arms=arms, defaults=defaults, mixture=mixture, temperature=temperature, cap=cap,
        templates=templates, effort=effort, model=model, train=train, dev=dev, test=test, out=out, seed=seed,
        precision=precision, memory=memory, command=exits.command(),
    )  # fmt: skip
    from luthier.files import read_json

    screen.print_lines([*read_json(folder / "tasks.json")["sentences"], f"Report: {folder / 'report.html'}"])


@app.command()
def ask(
    source: Annotated[str, typer.Argument(help="A study, an arm's folder, or a model.")],
    text: Annotated[str | None, typer.Argument(help="The input; else --file, else standard input.")] = None,
    arm: Annotated[str | None, typer.Option(help="An arm of the study; else the one that it ships.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with the input.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample among the k most likely tokens; 0: all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample among the tokens that hold this probability.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1, written tokens get less likely.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="The most tokens an answer may have.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of sampling.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Print each token's likeliest rivals, before and after filters.")
    ] = False,
) -> None:
    """Stream an answer of an arm or of a model. An arm answers with its own template, shots and settings, unless you
    give others.

    \b
    Example:
      luthier ask studies/mine "Ann: Lunch at one? Ben: Two, please. Ann: Fine."
    """
    generation = {
        "temperature": temperature, "top_k": top_k, "top_p": top_p, "repetition_penalty": repetition_penalty,
        "max_new_tokens": max_new_tokens,
    }  # fmt: skip
    given = {key: value for key, value in generation.items() if value is not None}
    machine.keep_freed_memory()
    about: dict[str, Any] = {"arm": arm, "generation": given, "seed": seed}
    if probabilities:
        return screen.print_steps(luthier.ask_probabilities(source, screen.input_text(text, file), **about))
    for piece in luthier.ask(source, screen.input_text(text, file), **about):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


@app.command()
def merge(
    source: Annotated[Path, typer.Argument(metavar="STUDY", help="A study, or an arm's folder.")],
    out: Annotated[Path, typer.Option(help="The new folder of the model.")],
    arm: Annotated[str | None, typer.Option(help="An arm of the study; else the one that it ships.")] = None,
    width: Annotated[str | None, typer.Option(help="Make the weights narrow: bf16, fp16, int8, int4 or nf4.")] = None,
    differ: Annotated[int, typer.Option(min=0, help="How many probes may be answered in other words.")] = 0,
    as_json: Json = False,
) -> None:
    """Write an arm as one plain model that every tool loads. What was learned goes into the base's weights; the file is
    read back and asked the arm's probes, and kept only if it answers as it did when it was measured.

    \b
    Example:
      luthier merge studies/mine --arm lora --out lora-merged
    """
    machine.keep_freed_memory()
    found = luthier.merge(source, out, arm=arm, width=width, differ=differ)
    if as_json:
        return screen.print_json(found)
    same = found["probes"] - len(found["differ"])
    says = f"{out}: {found['file_bytes'] / 1e6:,.1f} MB; {same} of {found['probes']} probes are answered as measured."
    screen.print_lines([says])


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder.")]) -> None:
    """Write a study's report again. Everything comes from its folder: report.html, which opens offline, and report.md.

    \b
    Example:
      luthier report studies/mine
    """
    several = (folder / "multitask.json").exists()
    screen.print_lines([f"Report: {luthier.overview(folder) if several else luthier.report(folder)}"])


@app.command()
def rate(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="A finished study's folder.")],
    rater: Annotated[str | None, typer.Option(help="Your name; each rater has one.")] = None,
    arms: Annotated[str | None, typer.Option(help="Two to four arms with commas between; else the best ones.")] = None,
    dialogues: Annotated[int | None, typer.Option(help="How many dialogues; 60 if there are as many.")] = None,
    result: Annotated[bool, typer.Option("--result", help="Say what the votes say, and write ratings.json.")] = False,
    judge: Annotated[str | None, typer.Option(help="Let a model judge: an OpenAI-compatible address.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="The name of its model.")] = None,
    as_json: Json = False,
) -> None:
    """Judge answers blind, side against side, by keys; stop at any time and go on with the same command. Or let a model
    judge them, or see with --result what the votes say.

    \b
    Example:
      luthier rate studies/mine --rater ann
    """
    from luthier.cli import rating

    names = arms.split(",") if arms is not None else None
    if sum((rater is not None, judge is not None, result)) != 1:
        raise luthier.SettingsError("rate: give one of --rater NAME, --judge URL and --result")
    if result:
        from luthier.rating.result import result as result_of

        ratings = result_of(folder)
        return screen.print_json(ratings.as_json()) if as_json else rating.print_result(ratings)
    if judge is not None:
        counts = luthier.judge(folder, judge, judge_model or "", arms=names, dialogues=dialogues)
        return screen.print_lines([", ".join(f"{name} {count}" for name, count in counts.items())])
    rating.rate(folder, rater or "", arms=names, dialogues=dialogues)


# ---------------------------------------------------------------------------------------- answers of other tools


@app.command()
def score(
    file: Rows,
    reference: Reference,
    answer: Annotated[str, typer.Option(help="The column with the answers.")],
    cluster: Cluster = None,
    input: Input = None,
    id: RowId = None,
    references: References = "mean",
    labels: Annotated[bool, typer.Option("--labels", help="They are labels: accuracy and macro-F1.")] = False,
    as_json: Json = False,
) -> None:
    """Score a column of answers that any tool made. ROUGE, BLEU, chrF and length, each with its 95 % interval.

    \b
    Example:
      luthier score answers.csv --reference summary --answer model_a
    """
    from luthier.verdicts.columns import scores_of_column

    found = scores_of_column(
        file, reference=reference, answer=answer, cluster=cluster, input=input, id=id, references=references,
        labels=labels,
    )  # fmt: skip
    return screen.print_json(found.as_json()) if as_json else screen.print_scores(found)


@app.command()
def compare(
    file: Rows,
    reference: Reference,
    answer: Answers,
    cluster: Cluster = None,
    input: Input = None,
    id: RowId = None,
    metric: Annotated[str, typer.Option(help="The metric that decides.")] = "rouge1",
    margin: Annotated[float, typer.Option(help="Differences below it do not matter, on 0 to 1.")] = 0.02,
    baseline: Annotated[list[str] | None, typer.Option(help="An answer column that others must beat.")] = None,
    references: References = "mean",
    look: Annotated[int | None, typer.Option(help="The k-th look at these references; else it is counted.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of the bootstrap, for bleu and chrf.")] = 0,
    as_json: Json = False,
) -> None:
    """Compare columns of answers on the same rows. Paired differences with intervals, verdicts, and which to take; with
    --json, what a study's compare.json holds.

    \b
    Example:
      luthier compare answers.csv --reference summary --answer model_a --answer model_b
    """
    from luthier.verdicts.columns import comparison_of_columns

    found = comparison_of_columns(
        file, reference=reference, answers=answer, cluster=cluster, input=input, id=id, metric=metric, margin=margin,
        baselines=baseline or [], references=references, look="count" if look is None else look, seed=seed,
    )  # fmt: skip
    return screen.print_json(found.as_json()) if as_json else screen.print_comparison(found)
