"""docs/rules.md, a second time: one record after the other, in plain Python.

Shares no code with the pipeline but ``schemas``, and has no opinion on speed. ``compute.compute`` is the way in.
"""
