"""What it would take: memory, shards, replicas and GPUs for a goal, from measured costs."""

from rerank_search.planning.figures import Figure
from rerank_search.planning.goal import Assumptions, Goal
from rerank_search.planning.plan import Alternative, Plan, make_plan
from rerank_search.planning.profile import Profile, read_profile, write_profile

__all__ = [
    "Alternative",
    "Assumptions",
    "Figure",
    "Goal",
    "Plan",
    "Profile",
    "make_plan",
    "read_profile",
    "write_profile",
]
