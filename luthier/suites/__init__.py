"""General abilities before and after training, and benchmarks of others.

    items          Document, Pair, Instruction, Plain: the items of the panel
    minimal_pairs  ten phenomena, sixty pairs each
    texts          documents of eight kinds, plain requests, general rows for replay
    requirements   what an answer has to obey, as functions
    instructions   120 instructions whose obedience is checked
    instruments    the four instruments: units, margins, what each can detect
    asking         a model asked the panel: items -> lines
    judge          lines -> readings, changes, verdicts
    page           panel.html
    panel          the verb: a study, an arm or a model -> panel.json
    harness_tasks  the panel as tasks of lm-eval
    harness        a model as lm-eval calls it; imports lm_eval, an optional package
    bench          the verb: tasks of lm-eval -> bench.json, with paired verdicts

Doors: `luthier panel`, `luthier study --panel`, `luthier bench`, `replay=` in training.
"""
