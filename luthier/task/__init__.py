"""Tasks: from a user's rows to examples, splits, templates and prompts, with checks.

    opened         a file as text: compression and encoding found and said; what is no text is refused
    dialect        delimiter, quotes and header of a table, found over the whole file; rows that a quote swallowed
    documents      JSON of every shape -> rows
    external       parquet files and data sets of the hub -> rows; needs optional packages
    rows           csv, tsv, JSON and parquet -> rows; every line that cannot be read is named
    texts          texts cleaned and composed, and the notes that count it
    parts          an input of several columns or turns: placeholders, one text of the parts, cutting them
    chats          a cell that holds a chat -> turns, the last reply as the target
    examples       rows -> Examples: which column holds what; every bad row named
    spec           the keys of task.toml
    labels         which label a row has; what nothing could be learned from is refused
    splits         which split an example is in: files, a column, splits.json
    task           task.toml -> Task
    findings       a finding: one sentence about rows, and how much it matters
    reading        which words a task's metrics count, and whether they can read its texts
    draw           which rows `init` holds out: by seed, over units and labels
    create         `init`: a task folder from a user's file, its splits drawn
    chat_template  a model's chat template: messages -> text, on the day that was measured
    prompt         templates, shots, chat templates -> ids; the one renderer
    check_prompts  prompts beside each other: different inputs must be asked differently
    check_tokens   a task seen through one model's tokenizer
    check          what is wrong with a task before anything is trained

Doors: `task.load_task`, `create.init_task`, `check.check_task`, `prompt.Renderer`.
"""
