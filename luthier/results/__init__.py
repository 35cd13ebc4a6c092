"""The study's folder: its files as types, and where they lie.

    record            what every file's type is built on: one reader, one writer, damage said in a sentence
    comparison        compare.json: pairs, verdicts, the decision
    profile_record    profile.json
    ratings_record    rating-plan.json, ratings.jsonl and ratings.json
    cost              cost.json, and sums of seconds
    plan_record       plan.json: what each arm was expected to take
    predicted         predicted beside measured: errors, and the term that was wrong
    lines             the lines of metrics.jsonl, likelihood.jsonl and log.jsonl
    study_record      study.json
    arm_record        arm.json, training.json, base-width.json, tune/trials.jsonl; what an arm takes to ship
    domain_record     domain.json: a further pretraining, and bits per byte before and after
    shipped_note      luthier.json, the note beside an arm's weights
    adapter_config    adapter_config.json, as peft writes it for the methods that luthier has
    evidence          evidence.json and SHA256SUMS of a shipped folder
    multitask_record  multitask.json, mixture.json, tasks.json
    looks             how often a test set was looked at, counted in the user's cache
    names             which names folders may have: an arm's, a study's, a task's; nothing else names one
    folder            the study's folder: places, costs, log
    scaling_record    law.json, ladder.json, and a plan by laws
    pretrain_record   pretrain.json
    trial_record      trial.json
    bench_record      bench.json, and the lines of its items
    panel_record      panel.json, and the lines of what was asked
    resume            going on with a study: whose folder it is, whether the same is asked, which look it takes

Doors: `folder.StudyFolder`.
"""
