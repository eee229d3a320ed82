"""`weft demo`: real invoices through real workflows, and the proof that each came out as it should.

examples.py   the invoices, what is expected of each, the workflows      read from `examples/`
ledger.py     the system that the workflows call: an HTTP server on loopback that keeps books
temporary.py  an installation of its own, gone when the demo is over
showcase.py   sends the invoices and compares what came of them
report.py     what is found, and how it is told to people
"""
