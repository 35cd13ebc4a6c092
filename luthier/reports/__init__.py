"""A study's folder into pages. Nothing is computed here that another room computes.

    plots      SVG plots of the report
    read       a study's folder as plain values for the report
    pairs      pairs, groups, warnings, how sure, what could be detected
    examples   which examples are shown; what in their answers the inputs do not hold
    confusion  confusion matrices, precision and recall
    evidence   profile, effort, seeds and likelihood as tables
    figures    which figures a report has, each with its rows as csv
    write      study folder -> report.html, report.md
    tasks      the studies of several tasks in one table: tasks.json, report.html, report.md

Doors: `write.report`, `tasks.overview`.
"""
