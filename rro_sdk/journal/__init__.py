"""What happened in a run, durable.

`store.py` is the file, `reading.py` what can be asked of it, `writer.py` feeds it from an event loop.
"""

from rro_sdk.journal.reading import RunHeader, TaskStates
from rro_sdk.journal.store import JOURNAL_NAME, Journal, never_began, refuse_existing

__all__ = ["JOURNAL_NAME", "Journal", "RunHeader", "TaskStates", "never_began", "refuse_existing"]
