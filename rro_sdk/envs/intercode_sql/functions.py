"""MySQL functions that SQLite lacks, written in Python. Each is pure; what is not a date is NULL."""

from __future__ import annotations

import calendar
import datetime
import math
import random
import re
import sqlite3
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from rro_sdk.envs.intercode_sql.aggregates import AGGREGATES, Scalar
from rro_sdk.envs.intercode_sql.patterns import matches

MAX_PADDED = 1024
"""Longest result of LPAD and RPAD."""

BUILT_IN = frozenset(
    """
    abs avg ceil ceiling char coalesce count cume_dist dense_rank exp first_value floor group_concat hex
    ifnull iif instr lag last_value lead length like ln log log10 log2 lower ltrim max min mod nth_value
    ntile nullif percent_rank pi pow power rank replace round row_number rtrim sign sqrt substr substring
    sum total trim trunc unicode upper
    """.split()  # noqa: SIM905 - fifty quoted words read worse
)
"""SQLite's own functions that a statement may call. All others are refused."""


class Clock:
    """What time it is for a statement: fixed, so that the same statement gives the same result."""

    def __init__(self, now: datetime.datetime) -> None:
        self._now = now

    def today(self) -> str:
        return self._now.date().isoformat()

    def now(self) -> str:
        return self._now.isoformat(" ", "seconds")


class Chance:
    """RAND(): the same sequence for every statement."""

    def __init__(self) -> None:
        self._random: random.Random | None = None

    def restart(self) -> None:
        self._random = None

    def __call__(self, *_: Scalar) -> float:
        if self._random is None:  # made for a statement that asks, since it takes as long as a short one
            self._random = random.Random(0)
        return self._random.random()


def register(connection: sqlite3.Connection, clock: Clock, chance: Chance) -> frozenset[str]:
    """Add the functions to a connection.

    Returns:
        The lower-case names of all functions that a statement may call.
    """
    for name, (count, function) in _SCALARS.items():
        connection.create_function(name, count, function, deterministic=True)
    connection.create_function("mysql_today", 0, clock.today, deterministic=True)
    connection.create_function("mysql_now", 0, clock.now, deterministic=True)
    connection.create_function("now", 0, clock.now, deterministic=True)
    connection.create_function("sysdate", 0, clock.now, deterministic=True)
    connection.create_function("rand", -1, chance)
    for name, (count, kind) in AGGREGATES.items():
        # The type stubs know aggregates over one integer only.
        connection.create_aggregate(name, count, kind)  # type: ignore[arg-type]
    return BUILT_IN | {*_SCALARS, *AGGREGATES, "mysql_today", "mysql_now", "now", "sysdate", "rand"}


def parse_time(value: Scalar) -> datetime.datetime | None:
    """A date or a date with time, as MySQL writes them."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.datetime.fromisoformat(value.strip())
    except ValueError:
        return None


def _part(read: Callable[[datetime.datetime], Scalar]) -> Callable[[Scalar], Scalar]:
    def part(value: Scalar) -> Scalar:
        time = parse_time(value)
        return None if time is None else read(time)

    return part


def _date_format(value: Scalar, form: Scalar) -> Scalar:
    time = parse_time(value)
    return time.strftime(form) if time is not None and isinstance(form, str) else None


def _number(value: Scalar) -> Scalar:
    """A date in a number's place: YYYYMMDD, or YYYYMMDDhhmmss with time."""
    time = parse_time(value)
    if time is None or not isinstance(value, str):
        return value
    return int(time.strftime("%Y%m%d%H%M%S" if len(value.strip()) > 10 else "%Y%m%d"))


def _regexp(pattern: Scalar, value: Scalar) -> Scalar:
    if pattern is None or value is None:
        return None
    return int(matches(str(pattern), str(value)))


def _str_to_date(value: Scalar, form: Scalar) -> Scalar:
    if not isinstance(value, str) or not isinstance(form, str):
        return None
    try:
        return datetime.datetime.strptime(value, form).date().isoformat()
    except (ValueError, re.error):
        # strptime makes a regular expression of the form; one that names a part twice is not one.
        return None


def _datediff(left: Scalar, right: Scalar) -> Scalar:
    first, second = parse_time(left), parse_time(right)
    return None if first is None or second is None else (first.date() - second.date()).days


def _timestampdiff(unit: Scalar, start: Scalar, end: Scalar) -> Scalar:
    first, second = parse_time(start), parse_time(end)
    if first is None or second is None or not isinstance(unit, str):
        return None
    name = unit.upper()
    if name in _SECONDS:
        return int((second - first).total_seconds() / _SECONDS[name])
    if name not in _MONTHS:
        return None
    sign = 1
    if second < first:
        first, second, sign = second, first, -1
    months = (second.year - first.year) * 12 + second.month - first.month
    if (second.day, second.time()) < (first.day, first.time()):
        months -= 1
    return sign * (months // _MONTHS[name])


def _shift(value: Scalar, amount: Scalar, unit: Scalar) -> Scalar:
    time = parse_time(value)
    try:
        count = int(amount) if amount is not None else 0
    except (ValueError, OverflowError):
        return None
    if time is None or not isinstance(unit, str) or amount is None:
        return None
    name = unit.upper()
    try:
        if name in _SECONDS:
            time += datetime.timedelta(seconds=count * _SECONDS[name])
        elif name in _MONTHS:
            year, month = divmod(time.year * 12 + time.month - 1 + count * _MONTHS[name], 12)
            day = min(time.day, calendar.monthrange(year, month + 1)[1])
            time = time.replace(year=year, month=month + 1, day=day)
        else:
            return None
    except (ValueError, OverflowError, calendar.IllegalMonthError):
        return None
    timed = (isinstance(value, str) and len(value.strip()) > 10) or name in ("HOUR", "MINUTE", "SECOND")
    return time.isoformat(" ", "seconds") if timed else time.date().isoformat()


def _tuple(*values: Scalar) -> Scalar:
    """One key for several values, NULL where one of them is: COUNT(DISTINCT a, b) skips those."""
    if any(value is None for value in values):
        return None
    return repr([value.lower() if isinstance(value, str) else value for value in values])


def _right(value: Scalar, count: Scalar) -> Scalar:
    if value is None or not isinstance(count, int):
        return None
    return str(value)[-count:] if count > 0 else ""


def _substring_index(value: Scalar, mark: Scalar, count: Scalar) -> Scalar:
    if value is None or not isinstance(mark, str) or not isinstance(count, int):
        return None
    parts = str(value).split(mark) if mark else [""]
    return mark.join(parts[:count] if count >= 0 else parts[count:])


def _format(value: Scalar, digits: Scalar) -> Scalar:
    if not isinstance(value, int | float) or not isinstance(digits, int) or not math.isfinite(value):
        return None
    try:
        exact = Decimal(repr(value)).quantize(Decimal(1).scaleb(-max(0, min(digits, 30))), ROUND_HALF_UP)
    except InvalidOperation:
        return None
    return f"{exact:,}"


def _truncate(value: Scalar, digits: Scalar) -> Scalar:
    if not isinstance(value, int | float) or not isinstance(digits, int) or not math.isfinite(value):
        return None
    if isinstance(value, int) and digits >= 0:
        return value
    scale = 10.0 ** max(-30, min(digits, 30))
    return math.trunc(value * scale) / scale


def _concat_ws(*values: Scalar) -> Scalar:
    if not values or values[0] is None:
        return None
    return str(values[0]).join(str(value) for value in values[1:] if value is not None)


def _pad(left: bool) -> Callable[[Scalar, Scalar, Scalar], Scalar]:
    def pad(value: Scalar, length: Scalar, fill: Scalar) -> Scalar:
        if value is None or not isinstance(length, int) or not 0 <= length <= MAX_PADDED or not fill:
            return None
        text = str(value)[:length]
        filling = (str(fill) * length)[: length - len(text)]
        return filling + text if left else text + filling

    return pad


_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400, "WEEK": 604800}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}

_SCALARS: dict[str, tuple[int, Callable[..., Scalar]]] = {
    "year": (1, _part(lambda time: time.year)),
    "month": (1, _part(lambda time: time.month)),
    "day": (1, _part(lambda time: time.day)),
    "hour": (1, _part(lambda time: time.hour)),
    "minute": (1, _part(lambda time: time.minute)),
    "second": (1, _part(lambda time: time.second)),
    "quarter": (1, _part(lambda time: (time.month + 2) // 3)),
    "week": (1, _part(lambda time: int(time.strftime("%U")))),
    "dayofweek": (1, _part(lambda time: time.isoweekday() % 7 + 1)),
    "dayofyear": (1, _part(lambda time: time.timetuple().tm_yday)),
    "dayname": (1, _part(lambda time: calendar.day_name[time.weekday()])),
    "monthname": (1, _part(lambda time: calendar.month_name[time.month])),
    "mysql_date": (1, _part(lambda time: time.date().isoformat())),
    "mysql_datetime": (1, _part(lambda time: time.isoformat(" ", "seconds"))),
    "mysql_number": (1, _number),
    "regexp": (2, _regexp),
    "date_format": (2, _date_format),
    "str_to_date": (2, _str_to_date),
    "datediff": (2, _datediff),
    "timestampdiff": (3, _timestampdiff),
    "mysql_shift": (3, _shift),
    "mysql_tuple": (-1, _tuple),
    "mysql_right": (2, _right),
    "mysql_format": (2, _format),
    "mysql_truncate": (2, _truncate),
    "substring_index": (3, _substring_index),
    "concat_ws": (-1, _concat_ws),
    "lpad": (3, _pad(left=True)),
    "rpad": (3, _pad(left=False)),
}
