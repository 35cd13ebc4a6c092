"""People and judges who say which of two answers is better, and what their votes say together.

    ballot     what raters are asked, and the file of their votes; no terminal
    strengths  votes -> strengths, shares, agreement, votes needed
    votes      what a panel's votes say, as plain values
    result     ratings.jsonl -> ratings.json; metrics and judges against people
    judge      a model behind an endpoint as a rater

Doors: `ballot.open_ballot`, `result.result`, `judge.judge`.
"""
