"""From scores to the decision which arm to ship.

    align         the examples that all arms have scores for; the examples left out, with reasons
    measure       one metric of aligned arms -> an estimate for each arm and pair
    decide        estimates -> verdicts, the arm to ship, results over seeds
    warnings      warnings about a comparison: records, and the function that words them
    compare       compare(): the numbers and warnings of compare.json
    detect        what a test set can show, stated before the run
    equal_length  the verdicts with all answers cut to the same length
    profile       lengths, copying, repetition, unsupported facts: profile.json
    conclude      a finished study's scores and costs -> compare.json, profile.json
    columns       answers of other tools, read from the columns of a file

Doors: `compare.compare`, `conclude.conclude`, `columns.compare_columns`.
"""
