"""The one generator, and the other ways in which a model answers.

    settings     how an answer is decoded; imports no torch
    sampling     how an answer is decoded: the choice of the next token, and its likeliest rivals
    text         the text of an answer while its tokens come; stop strings
    rows         rows of different length in memory: groups that rows leave and join
    ragged       rows of different length decoded together, without padding
    padded       decoders that pad: for GPUs, encoder-decoders and other caches
    alone        each row by itself: what faster ways are held against, and for models that no batch suits
    speculative  the next tokens of a single answer guessed, and read in one pass
    roads        which of these ways a model takes: the fastest that says what its rows say alone
    requests     what the generator is asked, what it says, and which requests share a batch
    decoders     which decoder writes the rows of a batch, and whether requests can join it
    batch        requests that are answered together; others join them and leave
    beam         beam search
    consensus    minimum Bayes risk: of several samples the one that agrees most with the others
    generate     requests -> events; the one generator
    likelihood   bits per character of the references under an arm
    answers      how an arm answers: by generation, by the likelihood of labels, or by a head

Doors: `generate.generate`, `answers.asking`.
"""
