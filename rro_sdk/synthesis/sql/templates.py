"""All templates with how often each is tried."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from rro_sdk.synthesis.sql import joins, nested, single
from rro_sdk.synthesis.sql.draft import Draft
from rro_sdk.synthesis.sql.schema import Schema

Template = Callable[[Schema, Random], Draft | None]

TEMPLATES: dict[str, tuple[Template, float]] = {
    "count": (single.count_all, 1.0),
    "list": (single.list_column, 1.0),
    "list-two": (single.list_two, 1.0),
    "distinct": (single.distinct, 1.0),
    "count-distinct": (single.count_distinct, 1.0),
    "count-where": (single.count_where, 3.0),
    "filter": (single.filter_rows, 4.0),
    "filter-two": (single.filter_two, 2.0),
    "between": (single.between, 1.0),
    "like": (single.contains, 1.0),
    "aggregate": (single.aggregate, 1.0),
    "aggregate-where": (single.aggregate_where, 2.0),
    "min-max": (single.extremes, 1.0),
    "order": (single.order, 2.0),
    "top": (single.top, 3.0),
    "group-count": (single.group_count, 1.5),
    "group-aggregate": (single.group_aggregate, 1.5),
    "having": (single.having, 1.0),
    "most-common": (single.most_common, 1.5),
    "join-filter": (joins.child_by_parent, 2.0),
    "join-distinct": (joins.parent_by_child, 1.5),
    "join-pair": (joins.pair_columns, 1.5),
    "join-count": (joins.count_children, 1.5),
    "join-group": (joins.children_per_parent, 1.5),
    "join-top": (joins.most_children, 1.0),
    "join-aggregate": (joins.aggregate_children, 1.5),
    "join-three": (joins.through_link_table, 1.5),
    "nested-average": (nested.against_average, 1.5),
    "nested-extreme": (nested.at_extreme, 1.0),
    "nested-compare": (nested.beyond_one, 1.5),
    "nested-same": (nested.same_as, 1.0),
    "nested-in": (nested.without_children, 1.5),
}
"""By name: the template, and its weight. Those with many different questions weigh more."""
