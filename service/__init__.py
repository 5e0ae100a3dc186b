"""What receives, remembers, decides and shows.

The walk of every change, whatever caused it:
receive (web/receiver) -> parse (github/events) -> react (workers/jobs/react) -> reconcile (workers/jobs/reconcile)
-> plan (domain) -> enact (enact) -> look (workers/jobs/look) -> work (workers/jobs/work) -> apply (workers/platforms)
-> describe (domain/reports) -> report (workers/jobs/report).

An event never does anything by itself: it is stored, marks facts as new or stale, and rings the subjects it touches.
A subject is reconciled from one snapshot of the database by a pure plan; the plan's decision is enacted as rows.
"""
