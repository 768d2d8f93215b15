"""The run page: what `rro view` serves on loopback, or writes as one file.

`reading.py` reads a journal's decisions without their texts. `index.py` keeps the table of tasks,
`figures.py` the plots, `servers.py` who answered when. `trajectory.py` is one task, with `verdict.py` in
words. `source.py` answers with all of them, to `server.py` and to `single_file.py` alike. `static/` is the
page itself.
"""
