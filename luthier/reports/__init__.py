"""Reports: from a study's folder to HTML and Markdown pages. Other rooms compute the numbers.

    plots      SVG plots of the report
    read       a study's folder as the records of its files, its arms in the order of their quality
    pairs      pairs, letters of groups, baselines that are not beaten, what could be detected
    examples   which examples are shown; what in their answers the inputs do not hold
    confusion  confusion matrices, precision and recall
    evidence   profile, limits on length, seeds, likelihood and widths as rows
    forgetting gain on the task against what was kept of general abilities, as rows
    words      the sentences: warnings, how sure, what could be detected, the effect of a limit on length
    figures    which figures a report has, each with its rows as csv
    formats    numbers as a reader sees them
    write      study folder -> report.html, report.md
    tasks      the studies of several tasks in one table: tasks.json, report.html, report.md
    sheet      a plain page of figures, tables and sentences, in the report's style

Doors: `write.report`, `tasks.overview`.
"""
