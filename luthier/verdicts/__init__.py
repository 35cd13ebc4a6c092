"""From scores to the decision which arm to ship.

    align         the examples that every arm can be judged on; what was left out, and why
    measure       one metric of aligned arms -> an estimate for each arm and pair
    decide        estimates -> verdicts, the arm to ship, what several seeds say
    warnings      what a reader must know before believing a comparison: records, and the one function that words them
    compare       compare(): the rows of compare.json, and its warnings
    detect        what a test set can show, said before the run; a metric that cannot be computed is refused
    equal_length  the verdicts again when all arms answer at the same length
    profile       lengths, copying, repetition, unsupported facts: what profile.json holds
    conclude      a finished study's scores and costs -> compare.json, profile.json
    column_texts  how the texts of a file's columns are read and scored: words, labels, reasoning
    columns       answers of other tools enter here

Doors: `compare.compare`, `conclude.conclude`, `columns.compare_columns`.
"""
