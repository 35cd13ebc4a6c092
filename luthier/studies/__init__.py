"""Arms x examples through the same code: the main job.

    mixture    which examples of several tasks one training sees, how often, under which template
    spec       what a study is asked for, the keys of study.toml; imports no torch
    runs       which trainings a study is made of, and how long the rest takes
    origin     study.json: what was asked for, and where everything came from
    fit        one training of an arm: base, method, batches, dev answers
    tune       settings chosen on dev with equal effort, by successive halving
    weights    where an arm's weights come from: trained, taken from another training, made narrow
    answering  an arm's prompts, answers, length and likelihood
    arm        one arm from prompts to scores
    study      arms x examples: the main job
    multitask  one training on a mixture of tasks, as an arm of each task's own study

Doors: `study.study`, `multitask.multitask`.
"""
