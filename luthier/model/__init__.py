"""Weights, tokenizer and family of a model, and one forward pass through it.

    quiet           libraries kept off the screen while they load; no torch when imported
    sources         short names, the hub, conversion, hashes: a name -> a folder; no torch when imported
    passed          what passed a check once, remembered by a hash in the user's cache; no torch when imported
    weight_files    JSON tables, and tensors by their headers; no torch when imported
    allowed         what a model's folder may say, looked over before transformers reads it; no torch when imported
    template_trial  a chat template tried in a process with limits; no torch when imported
    sizes           sizes that passes and narrow weights go by, and plans count with; no torch when imported
    fingerprint     which files decide what a model answers, and their hashes; what is no longer the same is named
    encoder         an encoder with a head: what is new in it, and which vector it reads
    windows         a model with windows of a few tokens, so that a trial of short rows goes beyond them
    attention       attention that a call chooses, the trial before a way is taken, attention by blocks
    dither          rounding to bf16 that keeps what small changes add up to
    exact           a call in fp32 whatever the precision of the weights: what rounding in 16 bits is measured by
    logits          the positions at which a call forms logits
    prepacked       weights laid out once for the products of few rows, for the calls that bring them
    sound           sizes that are those of the weights, weights that are numbers, tokens that have rows
    model           weights, tokenizer, precision, family of a model
    narrow          linear layers of few bits: int4, and a fast int8 product
    widths          16, 8 and 4 bits a weight: made narrow, weighed, written, read
    shared          what all rows begin with is read once while training
    together        whether rows may stand in one padded batch: what each says must be what it says alone
    forward         summed loss over supervised tokens, and the count to divide by
    kv_cache        the generator's cache of keys and values

Doors: `model.load`.
"""
