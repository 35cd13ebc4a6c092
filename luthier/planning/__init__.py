"""What an arm will take, from a configuration alone: parameters, bytes, operations, seconds and money. No torch.

    shape      a model's modules and blocks, with their sizes
    config     config.json as a plan reads it
    decoders   Llama and its relatives, Phi, GPT-2, GPT-NeoX
    readers    T5, BART; BERT and its relatives
    named      well-known models by name
    read       a model's name -> its shape
    moving     what a method moves, and what it adds
    passes     the rows of a forward pass, and how it runs
    kept       what a forward pass keeps for the backward pass
    lengths    lengths of rows, and which stand in one micro-batch
    weights    bytes of weights at a width
    cache      bytes of keys and values
    budget     how many tokens fit under a bound: the one arithmetic, which training calls too
    terms      the bytes of an arm, term by term
    trainer    the same as other tools' loops take it; ZeRO and FSDP
    flops      operations by product
    devices    devices: stated and measured rates
    seconds    a roofline over operations and bytes
    learned    what finished arms took beside rates, and the factor that it teaches
    lessons    the same in the user's cache, found again for what computes here
    plan       an arm -> its plan
    fits       what fits into a memory, and what to change
    prices     price.toml
    tokenizer  a tokenizer without torch
    words      the sentences of a plan

Doors: `plan.plan_arm`, `read.shape_of`.
"""
