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

Doors: `luthier panel`, `luthier study --panel`, `replay=` in training.
"""
