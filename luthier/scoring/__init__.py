"""Answers against references and inputs: metrics, labels, and facts that an input does not support.

    words       what a word is in every script, and which tokenizers can read given texts
    reasoning   blocks in which a model thinks before it answers
    labels      when two texts are one label, which label an answer says; accuracy's and macro-F1's counts
    rouge       ROUGE by rouge-score
    bleu        BLEU and chrF by sacrebleu, as counts
    score       answers x references -> scores; each metric's signature
    numbers     numbers and amounts in a text, however they are written
    dates       clock times, weekdays and dates in a text, however they are written
    quantities  the two files above in one place: all quantities of a text
    source      an input as what answers are held against: its words, names, quantities
    names       names of an answer that its input does not hold
    facts       names and quantities of an answer that its input does not hold: the findings

Doors: `score.score`, `facts.unsupported`.
"""
