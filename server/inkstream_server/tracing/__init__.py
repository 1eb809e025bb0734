"""Makes OpenTelemetry spans of calls, of messages and glyphs, and of batches, as an observer of each.

All but `start` is imported only if traces are on. Leaves all work to the rooms that it observes. Whether a
call is recorded is decided once, when it begins; a call that is not recorded runs as without traces.
"""
