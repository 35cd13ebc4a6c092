"""The ways to adapt a model, one file a method. Prompting is a method that trains no parameter.

    settings       each method's settings, and how a short form names them; imports no torch
    method         what a row of the METHODS table holds
    peft_format    how peft wraps a model, and its format on disk
    baselines      copied turns, the commonest label, the nearest neighbour: no model
    prompting      bare, zero, one and few shots
    full           every parameter
    domain         further pretraining on texts
    select         some layers, biases, embeddings
    head           an encoder's head
    tokens         the embeddings of a few tokens
    lora           LoRA
    qlora          LoRA on four bits
    lora_variants  rsLoRA, DoRA, PiSSA, LoRA+
    ia3            (IA)^3
    bottleneck     bottleneck adapters
    soft           soft prompts
    ptuning        P-tuning
    prefix         prefix tuning
    methods        the METHODS table

Doors: `methods.METHODS`.
"""
