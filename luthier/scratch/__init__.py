"""Models from nothing: scaling laws, tokenizers, one transformer of three families, an LSTM, pretraining.

    laws           scaling laws, those that are built in, and where compute is best spent
    points         points of a law from a file of the user's
    law_fit        approach 3: the lowest minimum, from many starts
    backtest       predictions with an interval that was tested on the points
    isoflop        approach 2: vertices of parabolas
    repeated       the law for data that is read more than once
    figures        figures of scaling laws, and of trials
    scale          `scale fit` and `scale plan`
    bpe            byte-level BPE in 80 lines, equal to the library's
    vocabulary     tokenizers that are trained here: bytes, BPE, WordPiece, Unigram
    token_table    what a tokenizer makes of a text
    neighbours     a token's nearest ones, by embedding and in context; needs torch
    shape          the shape of a model: its settings, parameters and FLOPs
    cached         how a decoder of this room writes through the one generator
    fused          the transformer's norms, turns and squared ReLU with fewer passes over memory, for training
    transformer    one transformer: decoder, encoder, encoder-decoder, every choice of its shape
    imported       weights of transformers' Llama, GPT-2, BERT and T5 in it
    attention_map  attention of every head as SVG
    lstm           an LSTM, called as the transformer is
    corpus         text that every machine has, or a user's; documents kept apart
    generated      sequences that ask for recall, copying, counting
    objectives     causal, prefix, masked, span corruption: rows of numbers
    rows           rows as the loop's batches and as tensors; the step
    drawn          rows that a function draws, for the one loop
    held_out       bits a byte of held-out documents, beside xz and bzip2
    pretraining    how a model is trained from nothing: settings, and steps that trainings of other lengths share
    pretrain       `pretrain`: text -> the one loop -> pretrain.json
    pretrain_page  pretrain.html
    ladder         `scale run`: trainings whose largest size is predicted before it is trained
    trial_cells    what a trial compares: arms, tasks, budgets
    trial_means    means over seeds and units, and differences between arms
    trial_tasks    what its models are asked beside their text, and how answers are scored
    trial_page     trial.html
    trial          `trial`: an LSTM, three families, or a recipe's ingredients, each under one budget

Doors: `scale.fit_points`, `scale.plan`, `token_table.token_table`, `pretrain.pretrain`, `trial.run_trial`.
"""
