"""The one training loop. It knows no tokens, families or objectives.

    batches     training batches whose position can be saved
    settings    how an arm is trained; imports no torch
    memory      how many tokens a batch may hold under a bound on memory
    loop        train(): the one loop
    checkpoint  a training's state on disk; the copy that longer trainings begin with
    masters     fp32 masters of weights that train in bf16
    optimizers  AdamW and Muon for training from nothing; a schedule with a trunk
    fused       LoRA and RMS norm with fewer passes over memory; gradients in 16 bits that are summed in fp32

Doors: `loop.train`.
"""
