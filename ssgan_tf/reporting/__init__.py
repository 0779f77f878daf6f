"""The report of a run: charts and the page."""
