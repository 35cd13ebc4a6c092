"""The one training loop. It knows no tokens, families or objectives.

    optimizers  AdamW and Muon for training from nothing; a schedule with a trunk
    batches  training batches whose position can be saved
    memory   how many tokens a batch may hold under a bound on memory
    loop     train(): the one loop
    fused    LoRA and RMS norm with fewer passes over memory

Doors: `loop.train`.
"""
