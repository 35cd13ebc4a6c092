"""Numbers into intervals, verdict rules, and what a test set can show.

    intervals     means, paired differences, shares and corpus metrics over units, each with its interval
    simultaneous  several comparisons at once: max |t|, verdicts, Hsu's best, groups not separated
    power         what a test set can show, and how many examples a difference needs
    seeds         seeds: what holds for a recipe and not only for one model

Doors: `intervals.paired`, `simultaneous.verdict`, `power.examples_needed`, `seeds.recipe_mean`.
"""
