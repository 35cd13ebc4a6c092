"""Arms x examples through the same code: the main job.

    mixture    which examples of several tasks one training sees, how often, under which template
    spec       the specification of a study, the keys of study.toml; imports no torch
    runs       the trainings of a study, and how long the remaining ones take
    origin     study.json: the specification, and the origin of everything
    remedies   general rows and penalties against forgetting
    fit        one training of an arm: base, method, batches, dev answers
    domain     further pretraining: done once for all arms that begin with it, read before and after
    tune       settings that dev chooses with equal effort, by successive halving
    weights    where an arm's weights come from: trained, taken from another training, made narrow
    answering  an arm's prompts, answers, length and likelihood
    arm        one arm from prompts to scores
    unchanged  what may not change between two sittings of a study: the task's rules, bases; other versions are said
    planned    a study's plan, from the prompts that its arms will read
    teaching   what a finished arm teaches the plans of later studies
    study      arms x examples: the main job
    multitask  one training on a mixture of tasks, as an arm of each task's own study

Doors: `study.study`, `multitask.multitask`.
"""
