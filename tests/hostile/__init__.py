"""Model folders that mean harm, or are damaged, made by a grammar and a seed; sound ones among them.

    cases(300)      Case: which folder, what was done to it, and how a command has to end
    run(case, ...)  one command in a process of its own, with limits: what is wrong with how it ended, or None
    python -m tests.hostile 300     tried and held, kind by kind

A case is held when the command ends within 30 seconds, with an exit code and without a traceback; when it is refused
in one sentence, or runs where the folder is sound; and when nothing outside was written and no code of the folder ran.
"""
