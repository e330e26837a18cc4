"""What a run leaves behind: report.json, report.md, report.html and per_query.csv."""
