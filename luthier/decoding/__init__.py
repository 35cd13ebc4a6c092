"""The one generator, and the other ways in which a model answers.

    sampling     how an answer is decoded: the choice of the next token, and its likeliest rivals
    ragged       rows of different length decoded together, without padding
    speculative  the next tokens of a single answer guessed, and read in one pass
    generate     requests -> events; the one generator
    likelihood   bits per character of the references under an arm
    answers      how an arm answers: by generation, by the likelihood of labels, or by a head

Doors: `generate.generate`, `answers.asking`.
"""
