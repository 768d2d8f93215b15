"""WebShop (arXiv 2207.01206): buying what an instruction asks for, in a shop of up to a million products.

Needs the extra `envs`.
"""

from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.env import Settings, WebShop
from rro_sdk.envs.webshop.generated import GeneratedProducts
from rro_sdk.envs.webshop.goals import Goal, goals_from, read_goals
from rro_sdk.envs.webshop.reward import Score, score
from rro_sdk.envs.webshop.sources import open_catalogue
from rro_sdk.envs.webshop.tasks import load_tasks

__all__ = [
    "Catalogue",
    "GeneratedProducts",
    "Goal",
    "Score",
    "Settings",
    "WebShop",
    "goals_from",
    "load_tasks",
    "open_catalogue",
    "read_goals",
    "score",
]
