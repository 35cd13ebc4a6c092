"""The course: lessons that run, questions with numbers of one's own, holes to fill, and how they are marked.

    source    a lesson's one source: cells, holes, checks, the copy for learners
    typed     a number as a learner types it
    question  questions drawn by a seed, and marks that name the misconception
    deck      deck.toml: rows, their lessons and questions
    shown     pictures, tables and painted tokens that a lesson shows
    desk      the learner's folder: predictions and answers
    plain     values as plain JSON, and when two are the same
    child     a fresh process, offline and under limits
    holes     whether a function fills a hole
    recorded  a lesson run cell by cell, with what each cell showed
    page      a lesson with its outputs as one page, and as a PDF
    reading   a learner with a lesson: kept outputs, what is asked, where he stands
    labs      the study that a lab ends in, as a command and as a SageMaker job
    quiz      the quiz of a week
    notebook  a lesson as a notebook, and a kernel for it
    hand_in   what a learner hands in, packed and read
    marking   a hand-in marked, in a process under limits
    classroom a class: tickets, grades, pages
    moodle    questions as Moodle's XML
    lint      what every lesson has, and that results are claimed

lessons/ and questions/ hold a file each for a row of deck.toml.
"""
