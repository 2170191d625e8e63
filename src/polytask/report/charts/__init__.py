"""One chart per file: a function from a record to :class:`~polytask.report.charts.chart.Chart`."""
