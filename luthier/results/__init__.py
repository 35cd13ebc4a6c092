"""The study's folder: its files as types, and where they lie.

    record          what every file's type is built on: one reader, one writer, damage said in a sentence
    cost            cost.json
    comparison      compare.json: pairs, verdicts, the decision
    profile_record  profile.json
    ratings_record  rating-plan.json, ratings.jsonl and ratings.json
    looks           how often a test set was looked at, counted in the user's cache
    folder          the study's folder: places, costs, log

Doors: `folder.StudyFolder`.
"""
