"""Several processes behind one port: `inkstream-server serve --workers N`.

`supervisor` starts workers by spawn, restarts dead ones and drains them all; it imports neither gRPC nor
models. `slot` is the place of one worker, and `worker` runs the server there. `shared_port` holds the port,
`metric_sums` adds up the metrics, `restarts` decides how soon and how often a worker is restarted.
"""
