"""`inkstream board`: a page in a browser that is written on, and what stands between it and a client.

`_batches` and `_answers` know what a page says and is told, `_mailbox` and `_sheets` the pages that are open,
`_serving` HTTP, `_server_watch` whether the server is there.
"""
