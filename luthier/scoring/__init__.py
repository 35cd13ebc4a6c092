"""Answers against references and inputs: metrics, labels, and facts that an input does not support.

    labels      which label an answer names; the counts of accuracy and macro-F1
    rouge       ROUGE by rouge-score
    bleu        BLEU and chrF by sacrebleu, as counts
    score       answers x references -> scores; each metric's signature
    numbers     numbers and amounts in a text, however they are written
    dates       clock times, weekdays and dates in a text, however they are written
    quantities  all quantities of a text, from the two files above
    source      an input, read once: its words, names and quantities
    names       names of an answer that its input does not support
    facts       names and quantities of an answer that its input does not support

Doors: `score.score`, `facts.unsupported`.
"""
