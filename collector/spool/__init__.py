"""The spool: events on disk while Kafka is away, and their way into Kafka afterwards.

``records`` is the format (pure), ``disk`` the system calls that can fail, ``segment`` a file, ``spool`` the
directory of them. ``commit`` writes from the event loop, ``drain`` sends to Kafka, ``producer`` joins the two.
"""
