"""The one training loop: it knows no tokens, families or objectives.

    batches  training batches that know where they stand
    memory   how long a micro-batch may be under a bound on memory
    loop     train(): the one loop
    fused    LoRA and RMS norm with fewer passes over memory

Doors: `loop.train`.
"""
