"""A method with its settings inside a study, and an arm's folder in use.

    spec         the keys of an arm; imports no torch
    shipped      an arm's folder read back: load, verify, its note
    resolve      an arm's keys with every default filled in
    short_form   an arm's keys from the text that names it
    domain_texts the texts of further pretraining, without dev and test; imports no torch
    usual        default arms, and arms that every study has
    ask          one text asked of a study, an arm or a bare model
    answer       every row of a file answered by one of them
    merge        an arm as one plain model
    planned      plan(): arms of a model -> their plans; imports no torch
    probe        the rates of this machine, measured for later plans: products, memory, and blocks at work
    export_gguf  a plain model as a GGUF file
    ship_page    the card, Modelfile and prompt of a shipped folder
    ship         an arm as a folder to hand on, with evidence and hashes; its exports measured again
    ship_verify  a third party's check of such a folder
    ship_push    such a folder onto the hub

Doors: `short_form.parse`, `resolve.resolve`, `ask.ask`, `answer.answer`, `merge.merge`, `ship.ship`,
`ship_verify.verify`, `ship_push.push`.
"""
