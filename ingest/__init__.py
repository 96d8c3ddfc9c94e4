"""From the exchanges to the streams: ``python -m ingest``.

`service` has a `market` for each exchange, called a venue, and one writer. The way of one message: `connection` receives it.
`feed` keeps a connection open, and replaces it before it ends. `intake` decodes the message as its `venue` says, keeps the
symbol's book by the documented procedure (`book_sync`), and passes what is true to `writer`. There a trade waits for those
before it (`holdback`). The writer gives the message an id and puts it into the `pending` data of the right `lane`, which
writes it to Redis. Where a library reads an exchange, `library_market` gives its events to `intake`. Where updates have no
numbers, `leased_writer` stands before the writer: only the process that has the symbol's lease (`writer_leases`) goes on.
"""
