"""A method with its settings inside a study, and an arm's folder in use.

    spec     short forms and settings of arms
    shipped  an arm's folder read back: load, verify, its note
    ask      one text asked of a study, an arm or a bare model
    merge    an arm as one plain model

Doors: `spec.resolve`, `ask.ask`, `merge.merge`.
"""
