"""The command line. A verb parses, calls one function of the library, and prints one record.

    screen  tables, painted tokens and JSON on the terminal
    exits   how the command line ends: one sentence and an exit code
    rating  rating by keys on the terminal; the result as tables
    app     one verb a step; __init__ hands out the public names lazily

Doors: `app.main`.
"""
