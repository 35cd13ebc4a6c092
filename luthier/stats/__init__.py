"""Statistics: intervals, rules for verdicts, and the power of a test set.

    intervals     means, paired differences, shares and corpus metrics over units, each with its interval
    simultaneous  several comparisons at once: max |t|, verdicts, Hsu's best, groups not separated
    power         what a test set can show, and how many examples a difference needs
    seeds         means and differences over training seeds, not only for one model

Doors: `intervals.paired`, `simultaneous.verdict`, `power.examples_needed`, `seeds.mean_over_seeds`.
"""
