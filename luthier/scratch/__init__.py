"""Models from nothing: scaling laws, tokenizers, one transformer of three families, pretraining.

    laws      scaling laws, those that are built in, and where compute is best spent
    points    points of a law from a file of the user's
    law_fit   approach 3: the lowest minimum, from many starts
    backtest  predictions with an interval that was tested on the points
    isoflop   approach 2: vertices of parabolas
    repeated  the law for data that is read more than once
    figures   figures of scaling laws
    scale     scale fit and scale plan
    bpe          byte-level BPE in 80 lines, equal to the library's
    vocabulary   tokenizers that are trained here: bytes, BPE, WordPiece, Unigram
    token_table  what a tokenizer makes of a text
    neighbours   a token's nearest ones, by embedding and in context

Doors: `scale.fit_points`, `scale.plan`, `token_table.token_table`.
"""
