"""The run page: what `rro view` serves on loopback, or writes as one file.

`reading.py` reads a journal's decisions without their texts, `task_rows.py` turns them into a line a task.
`index.py` keeps the table of tasks, `figures.py` the plots, `servers.py` who answered when; `early.py` tells
what can be told before all is read. `trajectory.py` is one task, with `verdict.py` in words. `source.py`
answers with all of them, to `server.py` and to `single_file.py` alike. `static/` is the page itself.
"""
