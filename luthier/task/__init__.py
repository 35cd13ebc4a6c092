"""Tasks: from a user's rows to examples, splits, templates and prompts, with checks.

    external       parquet files and data sets of the hub -> rows; needs optional packages
    rows           csv, jsonl and parquet -> rows; every line that cannot be read is named
    examples       rows -> Examples: which column holds what, texts cleaned; every bad row named
    spec           the keys of task.toml
    labels         which label a row has; what nothing could be learned from is refused
    splits         which split an example is in: files, a column, splits.json
    task           task.toml -> Task
    create         init: a task folder from a user's file, its splits drawn
    chat_template  a model's chat template: messages -> text, on the day that was measured
    prompt         templates, shots, chat templates -> ids; the one renderer
    findings       a finding: one sentence about rows, and how much it matters
    check_prompts  prompts beside each other: different inputs must be asked differently
    check_tokens   a task seen through one model's tokenizer
    check          what is wrong with a task before anything is trained

Doors: `task.load_task`, `create.init_task`, `check.check_task`, `prompt.Renderer`.
"""
