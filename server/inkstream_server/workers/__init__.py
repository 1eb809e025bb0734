"""Several processes behind one port: `inkstream-server serve --workers N`.

`supervisor` starts them by spawn, starts the dead ones again and drains them all; it knows neither gRPC
nor models. `slot` is one worker's place and whoever holds it, `worker` is what runs there: the same
server as without workers. `port` keeps the port for them, `sums` makes one page of their metrics,
`restarts` says how soon and how often to start one again.
"""
