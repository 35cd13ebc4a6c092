"""Votes of people and model judges on which of two answers is better, and the results of the votes.

    ballot     what raters are asked, and the file of their votes; no terminal
    strengths  votes -> strengths, shares, agreement, votes needed
    votes      what votes say of the arms, of people together, and of one rater
    words      the sentences of ratings.json
    result     ratings.jsonl -> ratings.json; metrics and judges against people
    endpoint   one OpenAI-compatible address: the key, tries, and bounds in time
    judge      a model behind an endpoint as a rater

Doors: `ballot.open_ballot`, `result.result`, `judge.judge`.
"""
