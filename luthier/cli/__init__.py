"""The command line. A verb parses, calls one function of the library, and prints one record.

    screen   tables, painted tokens and JSON on the terminal
    exits    how the command line ends: one sentence and an exit code
    options  options that several verbs share, and options made of a settings model's fields
    tasks    `init`, `check`, `show`
    studies  `study`, `multitask`, `report`
    arms     `ask`, `merge`
    serving  `serve`, `ship`, `verify`, `push`
    rating   `rate`: by keys on the terminal; the result as tables
    columns  `score`, `compare`
    scratch  `tokens`, `pretrain`, `scale run`, `scale fit`, `scale plan`
    plan     `plan`
    course   `learn`, `lab`, `quiz`, `kernel`, `hand-in`
    classroom `class issue`, `class mark`, `class show`, `class export`
    launch   `sagemaker-train`, `sagemaker-serve`, `sagemaker-job`
    app      all verbs together

Doors: `app.main`.
"""
