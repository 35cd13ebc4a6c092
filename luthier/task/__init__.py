"""Tasks: from a user's rows to examples, splits, templates and prompts, with checks.

    external      parquet files and data sets of the hub -> rows; needs optional packages
    rows          csv, jsonl and parquet -> rows; errors name the line
    examples      rows -> Examples: columns, cleaned texts; errors name the row
    spec          the keys of task.toml
    labels        the label of each row; refuses labels that cannot be learned
    splits        the split of each example: by file, column or splits.json
    task          task.toml -> Task
    create        init: a task folder from a user's file
    prompt        templates, shots, chat templates -> ids; the one renderer
    findings      a finding: one sentence about rows, and how much it matters
    check_tokens  checks of a task with one model's tokenizer
    check         problems of a task, before any training

Doors: `task.load_task`, `create.init_task`, `check.check_task`, `prompt.Renderer`.
"""
