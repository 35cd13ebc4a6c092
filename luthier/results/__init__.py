"""The study's folder: each file as a type, and the paths.

    record            the base of every file's type: one reader, one writer, damage reported in a sentence
    comparison        compare.json: pairs, verdicts, the decision
    profile_record    profile.json
    ratings_record    rating-plan.json, ratings.jsonl and ratings.json
    cost              cost.json, and sums of seconds
    lines             the lines of metrics.jsonl, likelihood.jsonl and log.jsonl
    study_record      study.json
    arm_record        arm.json, training.json, tune/trials.jsonl; what an arm takes to ship
    shipped_note      luthier.json, the note beside an arm's weights
    multitask_record  multitask.json, mixture.json, tasks.json
    looks             the number of looks at a test set, counted in the user's cache
    folder            the study's folder: paths, costs, log
    resume            continuing a study: whether the folder and the specification match, which look it takes

Doors: `folder.StudyFolder`.
"""
