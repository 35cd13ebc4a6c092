"""Votes of people and model judges on which of two answers is better, and the results of the votes.

    ballot     what raters are asked, and the file of their votes; no terminal
    strengths  votes -> strengths, shares, agreement, votes needed
    votes      results of votes: for the arms, for all people, for one rater
    words      the sentences of ratings.json
    result     ratings.jsonl -> ratings.json; metrics and judges against people
    endpoint   one OpenAI-compatible address: key, tries, time limits
    judge      a model behind an endpoint as a rater

Doors: `ballot.open_ballot`, `result.result`, `judge.judge`.
"""
